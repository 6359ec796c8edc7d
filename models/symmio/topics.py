"""The names of SYMMIO's topics."""

CHAIN_BLOCKS = "chain-blocks"
ACCOUNT_EVENTS = "account-events"
POSITION_STATES_IN = "position-states-in"
