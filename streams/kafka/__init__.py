"""Topics and records: the registry, a consumer that fetches in sessions, readers that follow a topic, dead letters."""
