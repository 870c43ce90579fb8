"""Speech recognition: the asr stage of stagewire."""

from importlib.metadata import version

__version__ = version("stagewire-asr")
