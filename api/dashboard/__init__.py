"""The page at ``/``: plain files from the package, nothing fetched from elsewhere, and the JSON it polls."""
