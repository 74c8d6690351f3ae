"""From the replication stream to Kafka transactions."""
