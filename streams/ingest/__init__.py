"""What the outside world says, written to the raw topics as it was said."""
