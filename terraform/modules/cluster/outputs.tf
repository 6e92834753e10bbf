output "name" {
  description = "Of the cluster."
  value       = aws_eks_cluster.this.name
}

output "security_group_id" {
  description = "Of nodes and pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "pod_role_trust" {
  description = "The trust policy of a role for pods."
  value       = data.aws_iam_policy_document.assume_by_pod.json
}
