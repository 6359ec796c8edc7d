"""Topics by which the replicas of the api speak to each other and to the workers: interest, leases, the whitelist."""
