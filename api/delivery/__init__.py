"""From what changed to sockets: hub → outbox → connection, the same for every dialect."""
