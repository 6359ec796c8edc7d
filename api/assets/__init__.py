"""Libraries for the browser, served out of the jars that Maven fetches (``python -m tidemark.fetch_webjars``)."""
