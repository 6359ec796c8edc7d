"""What the dialect's websockets are called in metrics."""

UPNL_WS = "upnl-ws"
POSITION_STATE_WS = "position-state-ws"
FUNDING_RATE_WS = "funding-rate-ws"
