"""The valuing of accounts on an owned partition: which are due, what they are worth, and the sums and alarms of it."""
