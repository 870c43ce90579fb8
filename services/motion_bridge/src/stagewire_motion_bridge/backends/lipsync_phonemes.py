"""Phoneme messages in whatever alphabet, as ARPAbet."""

from __future__ import annotations

from stagewire.common.v1 import timing_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2
from stagewire_lipsync import PhonemeTime, ipa


def arpabet(message: motion_bridge_pb2.TurnPhonemes) -> list[PhonemeTime]:
    """The phonemes in ARPAbet; none when their alphabet is not known."""
    known = (timing_pb2.PHONEME_ALPHABET_ARPABET, timing_pb2.PHONEME_ALPHABET_IPA)
    if message.alphabet not in known:
        return []
    in_ipa = message.alphabet == timing_pb2.PHONEME_ALPHABET_IPA
    return [
        PhonemeTime(_symbol(p.symbol, in_ipa), p.start_sample, p.end_sample)
        for p in message.phonemes
    ]


def _symbol(symbol: str, in_ipa: bool) -> str:
    if not symbol or symbol == "sil":
        return "sil"
    return ipa.arpabet(symbol) if in_ipa else symbol.rstrip("012").upper()
