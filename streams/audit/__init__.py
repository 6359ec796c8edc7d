"""The audit, which holds an account's row against what the contract itself says."""
