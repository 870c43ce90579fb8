"""The refusals that every stage shares, made from what the suite knows about each."""

from __future__ import annotations

from contract.stage import RATE, Refusal, Stage, hum, pcm_format
from stagewire.common.v1 import audio_pb2

# Field 1999, length-delimited: an arm of a later version, or nonsense.
UNKNOWN_FIELD = bytes([0b11111010, 0b01111100])
UNKNOWN_ARM = UNKNOWN_FIELD + b"\x01x"

_BAD_FORMATS = {
    "rate_0": pcm_format(0),
    "rate_1": pcm_format(1),
    "rate_7999": pcm_format(7_999),
    "rate_2147483647": pcm_format(2**31 - 1),
    "rate_negative": pcm_format(-RATE),
    "encoding_unspecified": pcm_format(encoding=audio_pb2.AUDIO_ENCODING_UNSPECIFIED),
    "encoding_unknown": pcm_format(encoding=77),
}


def refusals(stage: Stage) -> list[Refusal]:
    """Everything that ``stage`` must refuse."""
    return [*_opening(stage), *_formats(stage), *_audio(stage), *stage.refusals()]


def _opening(stage: Stage) -> list[Refusal]:
    cases = [
        Refusal("first_message_empty", [stage.request()], "NOT_OPEN"),
        Refusal("first_message_unknown", [UNKNOWN_ARM], "NOT_OPEN"),
        Refusal("open_twice", [stage.open(), stage.open()], "ALREADY_OPEN"),
        Refusal("no_arm", [stage.open(), stage.request()], "UNKNOWN_COMMAND"),
        Refusal("unknown_arm", [stage.open(), UNKNOWN_ARM], "UNKNOWN_COMMAND"),
        Refusal("session_id_empty", [stage.open(session_id="")], "INVALID_FIELD"),
        Refusal("session_id_129", [stage.open(session_id="s" * 129)], "INVALID_FIELD"),
        Refusal("session_id_10k", [stage.open(session_id="s" * 10_240)], "INVALID_FIELD"),
    ]
    first = next(stage.much())
    return [Refusal("media_before_open", [first], "NOT_OPEN"), *cases]


def _formats(stage: Stage) -> list[Refusal]:
    return [
        Refusal(f"{field}_{name}", [stage.open(**{field: wrong})], "UNSUPPORTED_FORMAT")
        for field in stage.formats
        for name, wrong in _BAD_FORMATS.items()
    ]


def _audio(stage: Stage) -> list[Refusal]:
    good = stage.audio(hum(640))
    if good is None:
        return []
    opened = [stage.open(), *stage.before_audio()]

    def after(name: str, reason: str, *messages: object) -> Refusal:
        return Refusal(f"audio_{name}", [*opened, *messages], reason)

    return [
        after("empty", "MALFORMED_AUDIO", stage.audio(b"")),
        after("odd_length", "MALFORMED_AUDIO", stage.audio(bytes(641))),
        after("3_megabytes", "MESSAGE_TOO_LARGE", stage.audio(bytes(3 << 20))),
        after("negative_start", "DISCONTINUITY", stage.audio(hum(640), start=-640)),
        after("gap", "DISCONTINUITY", good, stage.audio(hum(640), start=641)),
        after("overlap", "DISCONTINUITY", good, stage.audio(hum(640), start=639)),
        after("repeated", "DISCONTINUITY", good, good),
    ]
