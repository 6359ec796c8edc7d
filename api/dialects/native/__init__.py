"""Tidemark's own websocket, ``/v1/ws``; docs/websocket.md says what it promises."""
