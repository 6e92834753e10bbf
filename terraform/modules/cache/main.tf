# ElastiCache for Valkey, with TLS, a password and a replica in another zone.
#
# It keeps no append-only file: a failover may lose the last writes that were acknowledged. The server
# takes it with KOSMOSX_REDIS_DURABILITY=none only (README, "Which Valkey").

variable "name" {
  description = "Name of everything."
  type        = string
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "client_security_group_id" {
  description = "Who may connect."
  type        = string
}

variable "node_type" {
  description = "As the plan computes it."
  type        = string
}

variable "password" {
  description = "AUTH token, 16 to 128 characters."
  type        = string
  sensitive   = true
}

variable "key_arn" {
  description = "KMS key of what is kept."
  type        = string
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Memory and log of ${var.name}"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = var.node_type
  num_cache_clusters         = 2
  port                       = 6379
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  automatic_failover_enabled = true
  multi_az_enabled           = true
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.key_arn
  auth_token                 = var.password
  snapshot_retention_limit   = 7
  apply_immediately          = false
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "valkey8"
  # Nothing that is kept may be dropped for room.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-valkey"
  description = "Valkey: reached by pods alone"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  security_group_id            = aws_security_group.this.id
  description                  = "Pods"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

output "endpoint" {
  description = "Host and port of the primary."
  value       = "${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
}
