output "kafka_bootstrap_servers" {
  description = "GENERALS_KAFKA__BOOTSTRAP_SERVERS where MSK is used in place of Strimzi: SASL_SSL, SCRAM-SHA-512."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}

output "bucket" {
  description = "The archive: s3://BUCKET/archive, s3://BUCKET/policies."
  value       = aws_s3_bucket.archive.bucket
}

output "service_role_arns" {
  description = "For the service accounts' eks.amazonaws.com/role-arn in infra/k8s/overlays/*/roles.yaml."
  value       = { for service, role in aws_iam_role.service : service => role.arn }
}

output "image_repositories" {
  description = "Where images are pushed; the overlays' images name them."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "cluster" {
  description = "aws eks update-kubeconfig --name CLUSTER"
  value       = aws_eks_cluster.this.name
}
