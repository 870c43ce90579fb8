"""A local model, in this process, through llama.cpp's own server (the ``xllamacpp`` package)."""

from stagewire_llm.backends.llamacpp.answering import create

__all__ = ["create"]
