"""A session's timeline as the API tells it: an answer that is cut short, and one more."""

from __future__ import annotations

import math
from typing import Any

PARTS = {
    "silence_detection": 107.2,
    "asr_network": 1.4,
    "asr_queue": 0.1,
    "asr_final": 211.5,
    "llm_network": 1.9,
    "llm_queue": 0.2,
    "llm_first_token": 402.7,
    "first_clause": 441.3,
    "tts_network": 1.2,
    "tts_queue": 0.3,
    "tts_first_audio": 24.6,
    "motion_network": 1.1,
    "motion_queue": 0.0,
    "motion_first_frame": 42.0,
    "endpointing": 0.0,
    "orchestrator": 0.4,
    "egress_network": 0.9,
    "egress": 0.6,
    "client_network": 1.5,
    "client_buffer": 71.0,
}


def peaks(seconds: float, seed: float) -> list[int]:
    """Loudness as speech has it."""
    count = int(seconds * 20)
    wave = (math.sin(k * 0.9 + seed) * math.sin(k * 0.23 + seed) for k in range(count))
    return [int(150 * abs(value)) for value in wave]


def span(lane: str, turn: int, start: float, end: float, **more: Any) -> dict[str, Any]:
    return {
        "lane": lane,
        "turn": turn,
        "start": start,
        "first": None,
        "end": end,
        "text": "",
    } | more


def answer(turn: int, asked: str, text: str, stopped: float, heard: float) -> dict[str, Any]:
    """A question that ends at ``stopped`` and its answer, of which ``heard`` ms were played."""
    total = sum(PARTS.values())
    sounds = stopped + total
    words, at = [], sounds
    for word in text.split():
        length = 130 + 45 * len(word)
        played = at + length <= sounds + heard + 1
        words.append({"turn": turn, "text": word, "start": at, "end": at + length, "heard": played})
        at += length
    kept = " ".join(word["text"] for word in words if word["heard"])
    parts = [{"name": name, "milliseconds": ms} for name, ms in PARTS.items()]
    return {
        "spans": [
            span("user", 0, stopped - 1900, stopped, text=asked),
            span("asr", 0, stopped + 107, stopped + 320),
            span("llm", turn, stopped + 320, stopped + 1700, first=stopped + 725),
            span("tts", turn, stopped + 1166, stopped + 1900, first=stopped + 1192),
            span("motion", turn, stopped + 1192, stopped + 2200, first=stopped + 1235),
            span("egress", turn, stopped + 1236, sounds + heard, first=sounds),
            span("avatar", turn, sounds, sounds + heard),
        ],
        "words": words,
        "waveform": {
            "lane": "avatar",
            "turn": turn,
            "start": sounds,
            "step": 50.0,
            "peaks": peaks((at - sounds) / 1000, turn),
            "heard": heard,
        },
        "turn": {
            "turn": turn,
            "reason": "COMPLETED" if len(kept) == len(text) else "INTERRUPTED",
            "user": asked,
            "avatar": text,
            "heard_characters": len(kept),
            "asked_at": stopped,
            "total": round(total, 3),
            "parts": parts,
        },
    }


def sample() -> dict[str, Any]:
    """The whole session."""
    story = "Once upon a time, a lighthouse keeper found a bottle with a letter in it."
    first = answer(2, "Tell me a story.", story, 6000, 2300)
    second = answer(4, "What is the capital of Italy?", "Rome. It is a lovely city.", 11700, 1950)
    vain = span("llm", 3, 9900, 10300)
    turns = [first["turn"], {**second["turn"], "turn": 3}, second["turn"]]
    turns[1] |= {"reason": "SUPERSEDED", "asked_at": None, "total": None, "parts": []}
    return {
        "session": {
            "session_id": "s-0123456789abcdef",
            "avatar_id": "ava",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "start_time": "2026-11-25T19:30:00Z",
            "duration": 16_800.0,
            "end_reason": "ended by the caller",
            "turns": 2,
            "median_total": first["turn"]["total"],
        },
        "content": True,
        "dropped": 0,
        "spans": [*first["spans"], vain, *second["spans"]],
        "moments": [
            {"at": 300.0, "kind": "joined", "turn": 0, "text": ""},
            {"at": 9_620.0, "kind": "interruption", "turn": 2, "text": ""},
            {"at": 12_900.0, "kind": "fault", "turn": 4, "text": "TIMEOUT: </script><b>tts: late"},
        ],
        "words": first["words"] + second["words"],
        "waveforms": [
            {
                "lane": "user",
                "turn": 0,
                "start": 0.0,
                "step": 50.0,
                "peaks": [0] * 82 + peaks(1.9, 0.3) + [0] * 76 + peaks(1.9, 0.8),
                "heard": None,
            },
            first["waveform"],
            second["waveform"],
        ],
        "turns": turns,
        "meanings": {"llm_first_token": "llm: the prompt, up to the first piece of the answer"},
    }
