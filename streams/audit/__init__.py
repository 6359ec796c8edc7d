"""The audit, which compares accounts' rows with the answers of the contract's own views."""
