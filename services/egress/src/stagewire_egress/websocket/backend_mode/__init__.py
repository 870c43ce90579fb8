"""`/ws/agent`: the JSON WebSocket that Spatius' Backend Mode demo clients speak."""
