"""The contract as it is served, and pages that show it: ``/docs``, ``/docs/websocket``, ``/docs/problems``."""
