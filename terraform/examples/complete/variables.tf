variable "region" {
  description = "Where everything is."
  type        = string
  default     = "eu-central-1"
}

variable "zones" {
  description = "Availability zones of the region that have the GPUs."
  type        = list(string)
  default     = ["eu-central-1a", "eu-central-1b"]
}

variable "name" {
  description = "Name of the installation."
  type        = string
  default     = "kosmosx"
}

variable "environment" {
  description = "What it is for."
  type        = string
  default     = "production"
}

variable "host" {
  description = "chat.example.com"
  type        = string
}

variable "zone_id" {
  description = "Hosted zone of Route 53 that the host is in."
  type        = string
}

variable "peak_sessions" {
  description = "Sessions that are open at the same time, at the worst."
  type        = number
  default     = 2000
}

variable "kept_sessions" {
  description = "Sessions whose history is kept at the same time."
  type        = number
  default     = 50000
}

variable "administrator_arns" {
  description = "IAM roles and users that may do everything in the cluster."
  type        = set(string)
}

variable "api_cidrs" {
  description = "Who may reach the cluster's API from outside; nobody by default."
  type        = list(string)
  default     = []
}

variable "gpu_instance_types" {
  description = "One engine runs on each."
  type        = list(string)
  default     = ["g6.2xlarge"]
}

variable "engines" {
  description = "GPU nodes, and engines on them."
  type        = number
  default     = 2
}

variable "elasticache" {
  description = "Whether memory and log lie in ElastiCache instead of the chart's Valkey; read the README first."
  type        = bool
  default     = false
}
