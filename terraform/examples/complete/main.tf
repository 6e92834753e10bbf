# All of it: network, cluster with a group of GPU nodes, registry, secrets, bucket, way in.
# `terraform output -raw helm_values > values.yaml` is what the chart is then installed with.

data "aws_caller_identity" "this" {}

locals {
  name      = module.plan.full_name
  namespace = "chat"
}

module "plan" {
  source        = "../../modules/plan"
  name          = var.name
  environment   = var.environment
  zones         = var.zones
  peak_sessions = var.peak_sessions
  kept_sessions = var.kept_sessions
}

module "network" {
  source          = "../../modules/network"
  name            = local.name
  cidr            = "10.40.0.0/16"
  public_subnets  = module.plan.public_subnets
  private_subnets = module.plan.private_subnets
  log_key_arn     = aws_kms_key.this.arn
}

module "cluster" {
  source             = "../../modules/cluster"
  name               = local.name
  kubernetes_version = "1.34"
  subnet_ids         = module.network.private_subnet_ids
  key_arn            = aws_kms_key.this.arn
  api_cidrs          = var.api_cidrs
  administrator_arns = var.administrator_arns
  gateway_nodes = {
    instance_types = ["m7i.xlarge"]
    min            = 2
    max            = max(3, module.plan.gateways.max)
  }
  gpu_nodes = {
    instance_types = var.gpu_instance_types
    min            = var.engines
    max            = var.engines + 1 # a rolling update needs one more
    disk_gib       = 200
  }
}

module "registry" {
  source  = "../../modules/registry"
  name    = "${local.name}/kosmosx-stream"
  key_arn = aws_kms_key.this.arn
}

module "artifacts" {
  source  = "../../modules/artifacts"
  name    = "${local.name}-artifacts-${data.aws_caller_identity.this.account_id}"
  key_arn = aws_kms_key.this.arn
}

module "secrets" {
  source         = "../../modules/secrets"
  name           = local.name
  key_arn        = aws_kms_key.this.arn
  redis_endpoint = var.elasticache ? module.cache[0].endpoint : ""
}

module "cache" {
  count                    = var.elasticache ? 1 : 0
  source                   = "../../modules/cache"
  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.cluster.security_group_id
  node_type                = module.plan.cache_node_type
  password                 = module.secrets.valkey_password
  key_arn                  = aws_kms_key.this.arn
}

module "edge" {
  source                 = "../../modules/edge"
  name                   = local.name
  host                   = var.host
  zone_id                = var.zone_id
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.public_subnet_ids
  pod_security_group_id  = module.cluster.security_group_id
  idle_timeout_s         = module.plan.idle_timeout_s
  deregistration_delay_s = module.plan.deregistration_delay_s
}

module "pods" {
  source           = "../../modules/pods"
  name             = local.name
  cluster_name     = module.cluster.name
  trust_policy     = module.cluster.pod_role_trust
  namespace        = local.namespace
  service_account  = "kosmosx"
  secret_arns      = module.secrets.arns
  target_group_arn = module.edge.target_group_arn
  artifacts_arn    = module.artifacts.arn
  key_arn          = aws_kms_key.this.arn
}

# One key for all that lies still.
resource "aws_kms_key" "this" {
  description             = "What ${local.name} keeps"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${local.name}"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"] # of a key's policy: this key
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.this.account_id}:root"]
    }
  }
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:aws:logs:${var.region}:${data.aws_caller_identity.this.account_id}:*"]
    }
  }
  # Nodes' encrypted volumes are made by the scaling groups' own role.
  statement {
    sid       = "Nodes"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"]
    resources = ["*"]
    principals {
      type = "AWS"
      identifiers = [
        "arn:aws:iam::${data.aws_caller_identity.this.account_id}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
      ]
    }
  }
}
