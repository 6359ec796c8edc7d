"""The serving side: tables in memory, read through Feeds, answered over HTTP and websockets."""
