"""Settings of SYMMIO deployments."""
