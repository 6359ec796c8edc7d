"""How changes reach sockets: a hub, an outbox a connection, and the connection; all dialects share them."""
