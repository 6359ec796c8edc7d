"""One agent a source topic; each folds a slice with ``models`` and writes rows and outputs charged to it."""
