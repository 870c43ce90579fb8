"""The language model stage: answers a conversation, token by token."""

__version__ = "0.1.0"
