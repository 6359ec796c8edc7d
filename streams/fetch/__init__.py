"""Fetching from Kafka at the price that work all day can afford."""
