"""The prices and market facts of an exchange, written to price-ticks and instrument-facts."""
