"""The log in files that are kept for ever: written from Kafka, read as Kafka is, and written into a new cluster."""
