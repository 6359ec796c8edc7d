"""What every HTTP answer has in common: bodies, problems, metrics, health and the keys of the application."""
