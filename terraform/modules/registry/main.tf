# Where the images lie. A tag is never moved, and each image is scanned.

variable "name" {
  description = "Of the repository."
  type        = string
}

variable "key_arn" {
  description = "KMS key of the images."
  type        = string
}

resource "aws_ecr_repository" "this" {
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"
  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.key_arn
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "What lost its tag goes after two weeks."
      selection = {
        tagStatus   = "untagged"
        countType   = "sinceImagePushed"
        countUnit   = "days"
        countNumber = 14
      }
      action = { type = "expire" }
    }]
  })
}

output "url" {
  description = "Host and name, as image.registry and image.repository of the chart have them apart."
  value       = aws_ecr_repository.this.repository_url
}

output "arn" {
  description = "For who may push."
  value       = aws_ecr_repository.this.arn
}
