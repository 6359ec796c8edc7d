"""The topics that everything follows from, copied into others with another number of partitions."""
