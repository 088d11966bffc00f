# The system on AWS: Kafka (MSK), the archive (S3), a cluster for the services (EKS), and who may do what (IAM).
#   terraform init && terraform plan -var name=generals-prod
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { project = "generals", deployment = var.name }
  }
}
