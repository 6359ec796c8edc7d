"""Who may ask and how much: tokens, addresses, origins, limits and leases of connections."""
