"""What ledgers speak to: the door by which their records come over HTTP."""
