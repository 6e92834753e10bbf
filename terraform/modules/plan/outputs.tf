output "full_name" {
  description = "Name of everything: <name>-<environment>."
  value       = local.full_name
}

output "public_subnets" {
  description = "Range by zone, for the load balancer and the way out."
  value       = { for index, zone in var.zones : zone => cidrsubnet(local.public, local.zone_bits, index) }
}

output "private_subnets" {
  description = "Range by zone, for nodes, pods and Valkey."
  value       = { for index, zone in var.zones : zone => cidrsubnet(local.private, local.zone_bits, index) }
}

output "cache_node_type" {
  description = "The smallest node of ElastiCache that holds what is kept."
  value       = one(slice(local.large_enough, 0, min(1, length(local.large_enough))))
  precondition {
    condition     = length(local.large_enough) > 0
    error_message = "kept_sessions * memory_kib_per_session: ${ceil(local.memory_gib)} GiB are more than one Valkey has; keep less (KOSMOSX_RETENTION_S)."
  }
}

output "gateways" {
  description = "autoscaling.minReplicas and maxReplicas of the chart."
  value = {
    min = min(local.gateways_at_peak, max(2, ceil(local.gateways_at_peak / 4)))
    max = local.gateways_at_peak
  }
}

output "idle_timeout_s" {
  description = "Of the load balancer."
  value       = var.idle_timeout_s
}

output "deregistration_delay_s" {
  description = "How long the load balancer lets the connections of a gateway that ends live: its longest turn, and what comes before and after."
  value       = var.longest_turn_s + 60
}

output "tags" {
  description = "On everything that can carry them."
  value = {
    Application = var.name
    Environment = var.environment
    ManagedBy   = "terraform"
  }
}
