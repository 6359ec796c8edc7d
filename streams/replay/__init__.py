"""Replay: what stands in the log, read within a window, and what the engine makes of it again."""
