"""Settings of ledger deployments."""
