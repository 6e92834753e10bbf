variable "name" {
  description = "Name of the installation; everything carries it."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name: expected 3 to 20 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "environment" {
  description = "What it is for: production, staging, ..."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "environment: expected 2 to 12 lower-case letters and digits."
  }
}

variable "cidr" {
  description = "Addresses of the network."
  type        = string
  default     = "10.40.0.0/16"
  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr: expected a range of at least 4,096 addresses (/20), as in 10.40.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones."
  type        = list(string)
  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 4 && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones: expected two to four different availability zones."
  }
}

variable "peak_sessions" {
  description = "Sessions that are open at the same time, at the worst."
  type        = number
  validation {
    condition     = var.peak_sessions >= 1 && floor(var.peak_sessions) == var.peak_sessions
    error_message = "peak_sessions: expected a whole number from 1."
  }
}

variable "sessions_per_gateway" {
  description = "Sessions that one gateway is to have; the chart scales by the same number."
  type        = number
  default     = 500
  validation {
    condition     = var.sessions_per_gateway >= 1
    error_message = "sessions_per_gateway: expected at least 1."
  }
}

variable "memory_kib_per_session" {
  description = "What a session takes in Valkey while its history is kept, KiB. Measure yours: INFO memory."
  type        = number
  default     = 512
  validation {
    condition     = var.memory_kib_per_session > 0
    error_message = "memory_kib_per_session: expected more than 0."
  }
}

variable "kept_sessions" {
  description = "Sessions whose history is kept at the same time: those of KOSMOSX_RETENTION_S."
  type        = number
  validation {
    condition     = var.kept_sessions >= 1
    error_message = "kept_sessions: expected at least 1."
  }
}

variable "ping_interval_s" {
  description = "How often the server pings a silent WebSocket, seconds."
  type        = number
  default     = 20
}

variable "idle_timeout_s" {
  description = "How long the load balancer keeps a silent connection, seconds."
  type        = number
  default     = 300
  validation {
    condition     = var.idle_timeout_s >= 3 * var.ping_interval_s && var.idle_timeout_s <= 4000
    error_message = "idle_timeout_s: expected at least three ping intervals (a lost ping must not end a session), and at most 4,000, as ALB has it."
  }
}

variable "longest_turn_s" {
  description = "drain.longestTurnSeconds of the chart."
  type        = number
  default     = 120
  validation {
    condition     = var.longest_turn_s >= 1 && var.longest_turn_s <= 3600 - 60
    error_message = "longest_turn_s: expected 1 to 3,540 (a load balancer lets go after an hour at the latest)."
  }
}
