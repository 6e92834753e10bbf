# The way in: a name, a certificate, and a load balancer that bears long, quiet connections.

variable "name" {
  description = "Name of everything."
  type        = string
}

variable "host" {
  description = "chat.example.com"
  type        = string
}

variable "zone_id" {
  description = "Hosted zone of Route 53 that the host is in."
  type        = string
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets."
  type        = list(string)
}

variable "pod_security_group_id" {
  description = "Of the gateways' pods."
  type        = string
}

variable "idle_timeout_s" {
  description = "How long a silent connection lives, seconds: several of the server's pings."
  type        = number
}

variable "deregistration_delay_s" {
  description = "How long the connections of a gateway that ends live, seconds: its longest turn."
  type        = number
}

variable "log_bucket" {
  description = "Bucket of the access log; none if empty."
  type        = string
  default     = ""
}

variable "web_acl_arn" {
  description = "WAF to put before it; none if empty."
  type        = string
  default     = ""
}

# -- name and certificate ---------------------------------------------------------------------------

resource "aws_acm_certificate" "this" {
  domain_name       = var.host
  validation_method = "DNS"
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "proof" {
  for_each = {
    for option in aws_acm_certificate.this.domain_validation_options : option.domain_name => option
  }
  zone_id = var.zone_id
  name    = each.value.resource_record_name
  type    = each.value.resource_record_type
  records = [each.value.resource_record_value]
  ttl     = 300
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [for record in aws_route53_record.proof : record.fqdn]
}

resource "aws_route53_record" "this" {
  zone_id = var.zone_id
  name    = var.host
  type    = "A"
  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}

# -- load balancer ----------------------------------------------------------------------------------

resource "aws_lb" "this" {
  name                       = var.name
  load_balancer_type         = "application"
  internal                   = false
  subnets                    = var.subnet_ids
  security_groups            = [aws_security_group.this.id]
  idle_timeout               = var.idle_timeout_s
  drop_invalid_header_fields = true
  enable_deletion_protection = true

  dynamic "access_logs" {
    for_each = var.log_bucket == "" ? [] : [var.log_bucket]
    content {
      bucket  = access_logs.value
      prefix  = var.name
      enabled = true
    }
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = aws_acm_certificate_validation.this.certificate_arn
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"
  default_action {
    type = "redirect"
    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }
}

# Pods enter and leave it by the chart's TargetGroupBinding.
resource "aws_lb_target_group" "this" {
  name                          = var.name
  target_type                   = "ip"
  vpc_id                        = var.vpc_id
  port                          = 8000
  protocol                      = "HTTP"
  deregistration_delay          = var.deregistration_delay_s
  load_balancing_algorithm_type = "least_outstanding_requests"
  health_check {
    path                = "/health/ready"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  count        = var.web_acl_arn == "" ? 0 : 1
  resource_arn = aws_lb.this.arn
  web_acl_arn  = var.web_acl_arn
}

# -- who reaches what -------------------------------------------------------------------------------

resource "aws_security_group" "this" {
  name        = "${var.name}-edge"
  description = "Load balancer: reached by everyone, reaches the gateways"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  for_each          = { http = 80, https = 443 }
  security_group_id = aws_security_group.this.id
  description       = each.key
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_vpc_security_group_egress_rule" "gateways" {
  security_group_id            = aws_security_group.this.id
  description                  = "Gateways"
  referenced_security_group_id = var.pod_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 8000
  to_port                      = 8000
}

resource "aws_vpc_security_group_ingress_rule" "gateways" {
  security_group_id            = var.pod_security_group_id
  description                  = "Load balancer to gateways"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 8000
  to_port                      = 8000
}

output "target_group_arn" {
  description = "targetGroupBinding.arn of the chart."
  value       = aws_lb_target_group.this.arn
}

output "url" {
  description = "Of the page."
  value       = "https://${var.host}/"
}
