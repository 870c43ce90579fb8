"""What every stagewire service is built on.

A service is its contract's side (``service.py``), its backends, its settings and a
``__main__.py`` that hands them to :func:`stagekit.server.run`.
"""
