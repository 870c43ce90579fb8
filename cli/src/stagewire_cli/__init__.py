"""The ``stagewire`` command: start the services on one machine, talk to them, fetch models."""
