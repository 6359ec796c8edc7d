"""Ingest: records of nodes and venues, written to the raw topics as they were sent."""
