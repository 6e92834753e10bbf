# The cluster, its two groups of nodes, and what Kubernetes itself needs.

resource "aws_eks_cluster" "this" {
  name     = var.name
  version  = var.kubernetes_version
  role_arn = aws_iam_role.cluster.arn

  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]
    provider {
      key_arn = var.key_arn
    }
  }

  vpc_config {
    subnet_ids              = var.subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = length(var.api_cidrs) > 0
    public_access_cidrs     = length(var.api_cidrs) > 0 ? var.api_cidrs : null
  }

  depends_on = [aws_cloudwatch_log_group.cluster, aws_iam_role_policy_attachment.cluster]
}

# EKS would make it itself, unencrypted and for ever.
resource "aws_cloudwatch_log_group" "cluster" {
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = 365
  kms_key_id        = var.key_arn
}

resource "aws_eks_access_entry" "administrator" {
  for_each      = var.administrator_arns
  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
}

resource "aws_eks_access_policy_association" "administrator" {
  for_each      = var.administrator_arns
  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
  access_scope {
    type = "cluster"
  }
}

# -- nodes ------------------------------------------------------------------------------------------

resource "aws_eks_node_group" "gateway" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "gateway"
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnet_ids
  instance_types  = var.gateway_nodes.instance_types
  ami_type        = "AL2023_x86_64_STANDARD"
  labels          = { pool = "gateway" }

  scaling_config {
    min_size     = var.gateway_nodes.min
    desired_size = var.gateway_nodes.min
    max_size     = var.gateway_nodes.max
  }
  update_config {
    max_unavailable = 1
  }
  launch_template {
    id      = aws_launch_template.gateway.id
    version = aws_launch_template.gateway.latest_version
  }
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size] # an autoscaler's
  }
  depends_on = [aws_iam_role_policy_attachment.node]
}

resource "aws_eks_node_group" "gpu" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "gpu"
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnet_ids
  instance_types  = var.gpu_nodes.instance_types
  ami_type        = "AL2023_x86_64_NVIDIA"
  labels = {
    pool                     = "gpu"
    "nvidia.com/gpu.present" = "true"
  }

  # Nothing but engines runs on what costs most.
  taint {
    key    = "nvidia.com/gpu"
    value  = "true"
    effect = "NO_SCHEDULE"
  }
  scaling_config {
    min_size     = var.gpu_nodes.min
    desired_size = var.gpu_nodes.min
    max_size     = var.gpu_nodes.max
  }
  update_config {
    max_unavailable = 1
  }
  launch_template {
    id      = aws_launch_template.gpu.id
    version = aws_launch_template.gpu.latest_version
  }
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }
  depends_on = [aws_iam_role_policy_attachment.node]
}

resource "aws_launch_template" "gateway" {
  name_prefix = "${var.name}-gateway-"
  # IMDSv2, and not from pods: they are a hop further.
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type = "gp3"
      volume_size = 50
      encrypted   = true
      kms_key_id  = var.key_arn
    }
  }
}

resource "aws_launch_template" "gpu" {
  name_prefix = "${var.name}-gpu-"
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  # vLLM's image alone is over 10 GiB.
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type = "gp3"
      volume_size = var.gpu_nodes.disk_gib
      throughput  = 500
      encrypted   = true
      kms_key_id  = var.key_arn
    }
  }
}

# -- add-ons ----------------------------------------------------------------------------------------

locals {
  addons = {
    vpc-cni                = jsonencode({ enableNetworkPolicy = "true" }) # the chart's policies
    kube-proxy             = null
    coredns                = null
    eks-pod-identity-agent = null
    aws-ebs-csi-driver     = null
  }
}

resource "aws_eks_addon" "this" {
  for_each                    = local.addons
  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  configuration_values        = each.value
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
  depends_on                  = [aws_eks_node_group.gateway]
}
