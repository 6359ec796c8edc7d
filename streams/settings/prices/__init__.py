"""Settings of price sources, by their kind."""
