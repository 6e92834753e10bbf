terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
  # The state holds the passwords that Terraform makes: keep it encrypted, as in
  #   backend "s3" { bucket = "...", key = "kosmosx", region = "...", encrypt = true, use_lockfile = true }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = module.plan.tags
  }
}
