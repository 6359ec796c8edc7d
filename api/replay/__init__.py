"""The api's own application over a log that is replayed."""
