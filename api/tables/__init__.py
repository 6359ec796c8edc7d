"""The tables that a replica follows, and what it reads out of them for every dialect."""
