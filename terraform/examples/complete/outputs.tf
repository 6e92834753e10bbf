output "helm_values" {
  description = "What the chart is installed with: supabase.url and model.checkpoint are yours to add."
  value = yamlencode({
    fullnameOverride = "kosmosx"
    image = {
      registry   = split("/", module.registry.url)[0]
      repository = join("/", slice(split("/", module.registry.url), 1, length(split("/", module.registry.url))))
    }
    # ElastiCache keeps no append-only file.
    gateway = { settings = var.elasticache ? { KOSMOSX_REDIS_DURABILITY = "none" } : {} }
    autoscaling = {
      mode        = "keda"
      minReplicas = module.plan.gateways.min
      maxReplicas = module.plan.gateways.max
    }
    engine = {
      device       = "gpu"
      replicas     = var.engines
      cache        = { storageClass = "gp3-encrypted" }
      nodeSelector = { "nvidia.com/gpu.present" = "true" }
      tolerations  = [{ key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" }]
    }
    redis  = { mode = var.elasticache ? "external" : "valkey" }
    valkey = { persistence = { storageClass = "gp3-encrypted" } }
    secrets = {
      external = {
        enabled = true
        store   = { name = "aws", kind = "ClusterSecretStore" }
        keys    = module.secrets.names
      }
    }
    targetGroupBinding = {
      enabled = true
      arn     = module.edge.target_group_arn
    }
  })
}

output "url" {
  description = "Of the page."
  value       = module.edge.url
}

output "cluster_name" {
  description = "aws eks update-kubeconfig --name ..."
  value       = module.cluster.name
}

output "registry_url" {
  description = "Where the pipelines push."
  value       = module.registry.url
}

output "artifacts_bucket" {
  description = "For checkpoints."
  value       = module.artifacts.name
}
