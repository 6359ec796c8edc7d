"""The logs of a Symmio contract: followed at the chain's head, filled in behind it, and written to chain-blocks."""
