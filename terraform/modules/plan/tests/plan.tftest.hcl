# terraform test: everything that the plan computes, and everything that it refuses.

variables {
  name          = "kosmosx"
  environment   = "production"
  zones         = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  peak_sessions = 2400
  kept_sessions = 10000
}

run "names" {
  command = plan
  assert {
    condition     = output.full_name == "kosmosx-production"
    error_message = "got ${output.full_name}"
  }
}

run "subnets_are_apart_and_inside" {
  command = plan
  assert {
    condition     = length(distinct(concat(values(output.public_subnets), values(output.private_subnets)))) == 6
    error_message = "subnets overlap: ${jsonencode([output.public_subnets, output.private_subnets])}"
  }
  assert {
    condition     = output.public_subnets["eu-central-1a"] == "10.40.0.0/20" && output.private_subnets["eu-central-1a"] == "10.40.128.0/19"
    error_message = "got ${jsonencode([output.public_subnets, output.private_subnets])}"
  }
  # The public quarter ends where nothing private begins.
  assert {
    condition     = alltrue([for range in values(output.public_subnets) : tonumber(split(".", range)[2]) < 64])
    error_message = "got ${jsonencode(output.public_subnets)}"
  }
}

run "two_zones" {
  command = plan
  variables {
    zones = ["a", "b"]
    cidr  = "192.168.0.0/20"
  }
  assert {
    condition     = output.private_subnets == { a = "192.168.8.0/22", b = "192.168.12.0/22" }
    error_message = "got ${jsonencode(output.private_subnets)}"
  }
}

run "the_smallest_node_that_holds_all" {
  command = plan
  # 10,000 x 512 KiB x 2 = 9.8 GiB
  assert {
    condition     = output.cache_node_type == "cache.r7g.large"
    error_message = "got ${output.cache_node_type}"
  }
}

run "more_is_kept" {
  command = plan
  variables {
    kept_sessions = 100000
  }
  # 97.7 GiB
  assert {
    condition     = output.cache_node_type == "cache.r7g.4xlarge"
    error_message = "got ${output.cache_node_type}"
  }
}

run "more_than_one_valkey_has" {
  command = plan
  variables {
    kept_sessions = 1000000
  }
  expect_failures = [output.cache_node_type]
}

run "one_gateway_can_be_lost_at_the_peak" {
  command = plan
  assert {
    condition     = output.gateways.max == 6 && output.gateways.min == 2
    error_message = "got ${jsonencode(output.gateways)}"
  }
}

run "two_gateways_at_the_least" {
  command = plan
  variables {
    peak_sessions = 1
  }
  assert {
    condition     = output.gateways.max == 2 && output.gateways.min == 2
    error_message = "got ${jsonencode(output.gateways)}"
  }
}

run "many_gateways" {
  command = plan
  variables {
    peak_sessions = 100000
  }
  assert {
    condition     = output.gateways.max == 201 && output.gateways.min == 51
    error_message = "got ${jsonencode(output.gateways)}"
  }
}

run "connections_outlive_the_longest_turn" {
  command = plan
  variables {
    longest_turn_s = 600
  }
  assert {
    condition     = output.deregistration_delay_s > 600 && output.idle_timeout_s > 20
    error_message = "got ${output.deregistration_delay_s}, ${output.idle_timeout_s}"
  }
}

run "refuses_a_name" {
  command = plan
  variables {
    name = "Kosmos_X"
  }
  expect_failures = [var.name]
}

run "refuses_an_environment" {
  command = plan
  variables {
    environment = "the-production-of-today"
  }
  expect_failures = [var.environment]
}

run "refuses_a_small_network" {
  command = plan
  variables {
    cidr = "10.0.0.0/24"
  }
  expect_failures = [var.cidr]
}

run "refuses_what_is_no_network" {
  command = plan
  variables {
    cidr = "everywhere"
  }
  expect_failures = [var.cidr]
}

run "refuses_one_zone" {
  command = plan
  variables {
    zones = ["eu-central-1a", "eu-central-1a"]
  }
  expect_failures = [var.zones]
}

run "refuses_an_idle_timeout_near_the_ping" {
  command = plan
  variables {
    idle_timeout_s = 30
  }
  expect_failures = [var.idle_timeout_s]
}

run "refuses_turns_longer_than_a_load_balancer_waits" {
  command = plan
  variables {
    longest_turn_s = 7200
  }
  expect_failures = [var.longest_turn_s]
}

run "refuses_half_a_session" {
  command = plan
  variables {
    peak_sessions = 0.5
  }
  expect_failures = [var.peak_sessions]
}
