"""How Kafka is fetched from, with and without a group: in sessions, and records as they were parsed."""
