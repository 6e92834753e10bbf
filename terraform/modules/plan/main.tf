# Names, addresses and sizes, as pure functions of what was asked: no provider, so that all of it can be
# tested anywhere.

locals {
  full_name = "${var.name}-${var.environment}"

  # A quarter of the addresses for what is public, the rest for pods, which get one each.
  zone_bits = ceil(log(length(var.zones), 2))
  public    = cidrsubnet(var.cidr, 2, 0)
  private   = cidrsubnet(var.cidr, 1, 1)

  # Valkey evicts nothing: it has to hold everything, twice while it rewrites its append-only file.
  memory_gib = var.kept_sessions * var.memory_kib_per_session / 1024 / 1024 * 2

  # Memory of ElastiCache's nodes, GiB (cache.r7g).
  cache_nodes = [
    { type = "cache.r7g.large", gib = 13.07 },
    { type = "cache.r7g.xlarge", gib = 26.32 },
    { type = "cache.r7g.2xlarge", gib = 52.82 },
    { type = "cache.r7g.4xlarge", gib = 105.81 },
    { type = "cache.r7g.8xlarge", gib = 209.55 },
    { type = "cache.r7g.12xlarge", gib = 317.77 },
    { type = "cache.r7g.16xlarge", gib = 419.09 },
  ]
  large_enough = [for node in local.cache_nodes : node.type if node.gib >= local.memory_gib]

  # One more than the peak needs, so that one can be lost; two at the least.
  gateways_at_peak = max(2, ceil(var.peak_sessions / var.sessions_per_gateway) + 1)
}
