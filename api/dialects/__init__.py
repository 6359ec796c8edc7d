"""Dialects: one package for each protocol, which serves the clients of one existing service."""
