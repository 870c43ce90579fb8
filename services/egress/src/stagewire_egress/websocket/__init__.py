"""Delivery to clients that connect to this stage's own WebSocket: docs/websocket.md."""
