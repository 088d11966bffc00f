# Kafka: three brokers in three zones, TLS and SCRAM only, every acknowledged record on two of them at least.
locals {
  kafka_users = toset(["engine", "collector", "writer", "trainer", "console", "keda", "admin"])
}

resource "aws_security_group" "kafka" {
  name        = "${var.name}-kafka"
  description = "Kafka brokers: TLS with SCRAM, from the cluster's nodes only"
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "kafka" {
  security_group_id            = aws_security_group.kafka.id
  referenced_security_group_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  description                  = "SASL over TLS"
  ip_protocol                  = "tcp"
  from_port                    = 9096
  to_port                      = 9096
}

resource "aws_kms_key" "kafka" {
  description             = "${var.name}: Kafka's data and its users' passwords"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_cloudwatch_log_group" "kafka" {
  name              = "/msk/${var.name}"
  retention_in_days = 30
}

resource "aws_msk_configuration" "this" {
  name           = var.name
  kafka_versions = [var.kafka_version]
  # The same as in infra/k8s/base/kafka.yaml. MSK makes nobody but its brokers a super user: as long as there are no ACLs
  # somebody has to be let in who gives the first.
  server_properties = <<-PROPERTIES
    auto.create.topics.enable=false
    default.replication.factor=3
    min.insync.replicas=2
    unclean.leader.election.enable=false
    allow.everyone.if.no.acl.found=${!var.kafka_acls_given}
  PROPERTIES
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = var.zones
  enhanced_monitoring    = "PER_TOPIC_PER_BROKER"

  broker_node_group_info {
    instance_type   = var.broker_type
    client_subnets  = [for subnet in aws_subnet.private : subnet.id]
    security_groups = [aws_security_group.kafka.id]
    storage_info {
      ebs_storage_info {
        volume_size = var.broker_disk_gib
      }
    }
  }

  client_authentication {
    unauthenticated = false
    sasl {
      scram = true
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = aws_kms_key.kafka.arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.kafka.name
      }
    }
  }

  # Storage grows by itself (below); a plan must not shrink it back.
  lifecycle {
    ignore_changes = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size]
  }
}

resource "aws_appautoscaling_target" "kafka_storage" {
  service_namespace  = "kafka"
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  resource_id        = aws_msk_cluster.this.arn
  min_capacity       = 1
  max_capacity       = var.broker_disk_gib * 8
}

resource "aws_appautoscaling_policy" "kafka_storage" {
  name               = "${var.name}-storage"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.kafka_storage.service_namespace
  scalable_dimension = aws_appautoscaling_target.kafka_storage.scalable_dimension
  resource_id        = aws_appautoscaling_target.kafka_storage.resource_id
  target_tracking_scaling_policy_configuration {
    target_value     = 70
    disable_scale_in = true
    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}

# One user a service. The passwords are put in by hand or by your own rotation, so that none is in Terraform's state:
#   aws secretsmanager put-secret-value --secret-id AmazonMSK_<name>_engine --secret-string '{"username": ..., "password": ...}'
resource "aws_secretsmanager_secret" "kafka_user" {
  for_each   = local.kafka_users
  name       = "AmazonMSK_${var.name}_${each.key}" # MSK takes no other prefix
  kms_key_id = aws_kms_key.kafka.arn
}

resource "aws_msk_scram_secret_association" "this" {
  cluster_arn     = aws_msk_cluster.this.arn
  secret_arn_list = [for secret in aws_secretsmanager_secret.kafka_user : secret.arn]
}
