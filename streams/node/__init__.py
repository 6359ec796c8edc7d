"""JSON-RPC with the nodes of a chain: connections, endpoints that take over from one another, and calls."""
