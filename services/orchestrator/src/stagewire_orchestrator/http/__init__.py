"""The orchestrator's HTTP side: the session API, and routes that Spatius' demo clients know."""
