"""The stagewire contract: the generated messages and services of every stage.

Each stage's package is versioned, such as ``stagewire.asr.v1``; ``docs/contract.md`` explains them.
"""
