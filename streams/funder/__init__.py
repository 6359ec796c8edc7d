"""The executor behind ``tidemark funder``, which charges funding on chain."""
