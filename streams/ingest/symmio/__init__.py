"""Ingest of a SYMMIO deployment: its logs go to ``chain-blocks``, from backfill or a join, and then from the head."""
