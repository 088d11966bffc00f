variable "name" {
  description = "Name of this deployment; part of the names of everything made here, the bucket's too."
  type        = string
  default     = "generals-prod"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Lower-case letters, digits and hyphens, 3 to 31 of them, a letter first."
  }
}

variable "region" {
  description = "Where it runs."
  type        = string
  default     = "eu-central-1"
}

variable "cidr" {
  description = "Addresses of the network."
  type        = string
  default     = "10.42.0.0/16"
}

variable "zones" {
  description = "Availability zones, one broker each: acknowledged records survive the loss of one zone of three."
  type        = number
  default     = 3
  validation {
    condition     = var.zones == 3
    error_message = "Three: replication factor 3 with two in sync needs three zones."
  }
}

variable "kafka_version" {
  description = "A version that MSK offers in KRaft mode."
  type        = string
  default     = "3.9.x.kraft"
}

variable "broker_type" {
  description = "Instance type of the brokers."
  type        = string
  default     = "kafka.m7g.large"
}

variable "broker_disk_gib" {
  description = "Disk of each broker. An experience takes about 40 bytes in the two topics together, times three replicas."
  type        = number
  default     = 500
}

variable "kafka_acls_given" {
  description = "Set it when the ACLs are in Kafka: from then on who has none may do nothing. Before, each of its users may do everything."
  type        = bool
  default     = false
}

variable "kubernetes_version" {
  description = "Of the EKS cluster."
  type        = string
  default     = "1.32"
}

variable "api_allowed_cidrs" {
  description = "From where the cluster's API may be reached over the internet; none: from inside the network only."
  type        = list(string)
  default     = []
}

variable "nodes" {
  description = "Worker nodes: type and how many."
  type = object({
    instance_type = string
    minimum       = number
    maximum       = number
  })
  default = { instance_type = "c7i.2xlarge", minimum = 3, maximum = 12 }
}

variable "namespace" {
  description = "Kubernetes namespace of the services."
  type        = string
  default     = "generals"
}

variable "archive_to_glacier_after_days" {
  description = "When objects of the archive move to cheaper storage; 0: never."
  type        = number
  default     = 0
}
