variable "name" {
  description = "Name of the cluster."
  type        = string
}

variable "kubernetes_version" {
  description = "Of the cluster; the chart needs 1.30."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the nodes."
  type        = list(string)
}

variable "key_arn" {
  description = "KMS key of secrets, volumes and logs."
  type        = string
}

variable "api_cidrs" {
  description = "Who may reach the cluster's API from outside; nobody by default."
  type        = list(string)
  default     = []
}

variable "administrator_arns" {
  description = "IAM roles and users that may do everything in the cluster."
  type        = set(string)
}

variable "gateway_nodes" {
  description = "Nodes without GPU: gateways, Valkey, what watches them."
  type = object({
    instance_types = list(string)
    min            = number
    max            = number
  })
}

variable "gpu_nodes" {
  description = "Nodes with GPUs: engines, one a node."
  type = object({
    instance_types = list(string)
    min            = number
    max            = number
    disk_gib       = number
  })
}
