# What pods may do in AWS, by the name of their service account: three roles, each for one thing.

variable "name" {
  description = "Beginning of the roles' names."
  type        = string
}

variable "cluster_name" {
  description = "Where the pods are."
  type        = string
}

variable "trust_policy" {
  description = "Of a role for pods: the cluster's output."
  type        = string
}

variable "namespace" {
  description = "Of the chart."
  type        = string
}

variable "service_account" {
  description = "Of the chart."
  type        = string
}

variable "secret_arns" {
  description = "That the External Secrets Operator may read."
  type        = list(string)
}

variable "target_group_arn" {
  description = "That the AWS Load Balancer Controller may fill."
  type        = string
}

variable "artifacts_arn" {
  description = "Bucket that the chart's pods may read."
  type        = string
}

variable "key_arn" {
  description = "KMS key of secrets and bucket."
  type        = string
}

locals {
  pods = {
    secrets = {
      namespace       = "external-secrets"
      service_account = "external-secrets"
      policy          = data.aws_iam_policy_document.secrets.json
    }
    balancer = {
      namespace       = "kube-system"
      service_account = "aws-load-balancer-controller"
      policy          = data.aws_iam_policy_document.balancer.json
    }
    artifacts = {
      namespace       = var.namespace
      service_account = var.service_account
      policy          = data.aws_iam_policy_document.artifacts.json
    }
  }
}

resource "aws_iam_role" "this" {
  for_each           = local.pods
  name               = "${var.name}-${each.key}"
  assume_role_policy = var.trust_policy
}

resource "aws_iam_role_policy" "this" {
  for_each = local.pods
  name     = each.key
  role     = aws_iam_role.this[each.key].id
  policy   = each.value.policy
}

resource "aws_eks_pod_identity_association" "this" {
  for_each        = local.pods
  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.this[each.key].arn
}

data "aws_iam_policy_document" "secrets" {
  statement {
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = var.secret_arns
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [var.key_arn]
  }
}

# The load balancer is Terraform's: the controller only fills its target group.
data "aws_iam_policy_document" "balancer" {
  statement {
    actions   = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
    resources = [var.target_group_arn]
  }
  # Questions have no resource to be narrowed to.
  statement {
    actions = [
      "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetGroupAttributes",
      "elasticloadbalancing:DescribeTargetHealth",
      "ec2:DescribeAvailabilityZones",
      "ec2:DescribeInstances",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeVpcs",
    ]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "artifacts" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [var.artifacts_arn]
  }
  statement {
    actions   = ["s3:GetObject"]
    resources = ["${var.artifacts_arn}/*"]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [var.key_arn]
  }
}
