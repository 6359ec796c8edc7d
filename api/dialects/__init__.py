"""One package a protocol; each speaks for the clients of one existing service."""
