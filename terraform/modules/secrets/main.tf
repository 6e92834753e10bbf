# Two secrets: what Terraform makes up, and what you put in by hand. The chart reads both.

variable "name" {
  description = "Beginning of their names."
  type        = string
}

variable "key_arn" {
  description = "KMS key of the secrets."
  type        = string
}

variable "redis_endpoint" {
  description = "Host and port of a Valkey with TLS; empty where the chart runs its own."
  type        = string
  default     = ""
}

resource "random_password" "this" {
  for_each = toset(["pepper", "engine", "valkey"])
  length   = 48
  special  = false
}

# A pepper that changes ends every key.
resource "aws_secretsmanager_secret" "made" {
  name                    = "${var.name}/made"
  description             = "Made by Terraform: pepper and passwords between the parts"
  kms_key_id              = var.key_arn
  recovery_window_in_days = 30
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_secretsmanager_secret_version" "made" {
  secret_id = aws_secretsmanager_secret.made.id
  secret_string = jsonencode(merge(
    {
      KOSMOSX_KEY_PEPPER     = random_password.this["pepper"].result
      KOSMOSX_ENGINE_API_KEY = random_password.this["engine"].result
      VALKEY_PASSWORD        = random_password.this["valkey"].result
    },
    var.redis_endpoint == "" ? {} : {
      REDIS_URL = "rediss://:${random_password.this["valkey"].result}@${var.redis_endpoint}/0"
    },
  ))
}

resource "aws_secretsmanager_secret" "given" {
  name                    = "${var.name}/given"
  description             = "Put in by hand: SUPABASE_SERVICE_KEY, STRIPE_API_KEY, ..."
  kms_key_id              = var.key_arn
  recovery_window_in_days = 30
}

# Terraform makes the place and never reads what is put there.
resource "aws_secretsmanager_secret_version" "given" {
  secret_id     = aws_secretsmanager_secret.given.id
  secret_string = "{}"
  lifecycle {
    ignore_changes = [secret_string]
  }
}

output "names" {
  description = "secrets.external.keys of the chart."
  value       = [aws_secretsmanager_secret.made.name, aws_secretsmanager_secret.given.name]
}

output "arns" {
  description = "For who may read them."
  value       = [aws_secretsmanager_secret.made.arn, aws_secretsmanager_secret.given.arn]
}

output "valkey_password" {
  description = "For ElastiCache."
  value       = random_password.this["valkey"].result
  sensitive   = true
}
