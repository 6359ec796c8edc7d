"""The page at ``/``: plain files of this package, which fetches nothing from elsewhere and speaks only ``/v1``."""
