"""Charging funding on chain: the executor behind ``tidemark funder``."""
