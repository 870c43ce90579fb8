"""A local Motion Server: what Spatius' Server SDK talks to, offline, with failures on demand.

``command`` runs it as a process; ``server.serving`` inside another one. What it is not:
docs/motion.md.
"""
