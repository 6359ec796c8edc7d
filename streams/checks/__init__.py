"""Checks of a running deployment, for ``tidemark doctor``; they change nothing."""
