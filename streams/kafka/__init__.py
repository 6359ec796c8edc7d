"""The registry of topics, the consumer that fetches in sessions, the Feed that follows a topic, and dead letters."""
