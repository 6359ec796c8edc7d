"""What the replicas of the api tell each other, the workers and ingest over Kafka, and what ingest answers them."""
