"""What frontends of SYMMIO solvers expect: bare uPnL objects over a websocket, and their REST twins."""
