"""What the replicas of the api tell each other and the workers over Kafka: interest, leases and the whitelist."""
