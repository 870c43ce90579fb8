"""The backend ``spatius``: Spatius' Motion Server, through its own Server SDK."""
