"""What recent sessions did and when: a bounded record in memory, for ``stagewire timeline``.

``recording`` follows one session, ``model`` is what it tells, ``shelf`` keeps the newest ones.
"""
