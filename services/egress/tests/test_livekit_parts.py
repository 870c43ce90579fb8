"""The parts of the LiveKit delivery that need no room: pace, score, floor, packets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from stagewire.egress.v1 import egress_pb2
from stagewire_egress.livekit import packets
from stagewire_egress.livekit.floor import Floor, Policy, level
from stagewire_egress.livekit.pace import TICK_SECONDS, Pace
from stagewire_egress.livekit.score import Score

GRAIN = 240  # 10 ms at 24 kHz


class NativeQueue:
    """Fake: drains 10 ms at every tick, as the library's does, from some phase on."""

    def __init__(self, phase: float) -> None:
        self.now, self.fill, self._tick = 0.0, 0.0, phase

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self._tick <= until:
            self.fill = max(0.0, self.fill - TICK_SECONDS)
            self._tick += TICK_SECONDS
        self.now = until

    def capture(self, seconds: float, limit: float) -> None:
        self.fill += seconds
        while self.fill > limit + 1e-9:
            self.sleep(self._tick - self.now)


@given(
    phase=st.floats(0.0001, 0.01),
    pauses=st.lists(st.floats(0.0, 0.15), min_size=1, max_size=60),
    late=st.floats(0.0, 0.03),
)
def test_what_has_left_the_queue_is_never_overstated(
    phase: float, pauses: list[float], late: float
) -> None:
    native, pace = NativeQueue(phase), Pace(0.06)
    for pause in pauses:
        pace.push(0.02, native.now)
        native.capture(0.02, 0.06)
        native.sleep(late)  # the event loop is busy before it sees the return
        pace.returned(native.now)
        assert pace.queued(native.now) >= native.fill - 1e-9
        native.sleep(pause)
        assert pace.queued(native.now) >= native.fill - 1e-9


def test_a_steady_voice_is_known_to_a_tick_and_a_half() -> None:
    native, pace = NativeQueue(0.004), Pace(0.06)
    for _ in range(50):
        pace.push(0.02, native.now)
        native.capture(0.02, 0.06)
        pace.returned(native.now)
    assert pace.queued(native.now) - native.fill <= 1.5 * TICK_SECONDS
    assert abs(pace.expected(native.now) - native.fill) <= TICK_SECONDS


def _audio(data: bytes) -> egress_pb2.TurnAudio:
    return egress_pb2.TurnAudio(turn=1, audio={"data": data})


def _motion(start: int, end: int, payload: bytes = b"m") -> egress_pb2.TurnMotion:
    return egress_pb2.TurnMotion(turn=1, payload=payload, start_sample=start, end_sample=end)


def test_a_score_hands_out_whole_grains_and_pads_only_the_end() -> None:
    score = Score(1, GRAIN)
    voice = bytes(range(200)) * 6  # 600 samples: two grains and a half
    score.add(_audio(voice), 0.0)
    assert score.take(480) == voice[:960]
    assert score.take(480) == b""  # the rest may still grow to a grain
    score.add(egress_pb2.EndOfTurn(turn=1), 0.0)
    assert score.take(480) == voice[960:] + bytes(2 * 120)
    assert (score.cursor, score.length, score.finished) == (600, 600, False)
    score.advance(600)
    assert score.finished


def test_what_was_taken_and_lost_is_handed_out_again_with_its_motion() -> None:
    score = Score(1, GRAIN)
    voice = np.arange(960, dtype="<i2").tobytes()
    score.add(_audio(voice), 0.0)
    for start in range(0, 960, 240):
        score.add(_motion(start, start + 240), 0.0)
    assert score.take(960) == voice
    assert len(score.motion(10_000)) == 4
    score.advance(300)
    score.rewind()
    assert score.take(480) == voice[600:1560]
    assert [m.start_sample for m in score.motion(10_000)] == [240, 480, 720]
    assert score.held_bytes == len(voice) - 600 + 3


def test_a_mark_at_the_very_end_is_handed_out() -> None:
    score = Score(1, GRAIN)
    score.add(_audio(bytes(480)), 0.0)
    score.add(_motion(240, 240), 0.0)
    assert [m.start_sample for m in score.motion(240 + 1)] == [240]


def test_words_are_told_when_they_begin() -> None:
    score = Score(1, GRAIN)
    score.add(_audio(bytes(2 * 1_000)), 0.0)
    word = {"text": "a", "text_start": 0, "text_end": 1, "start_sample": 0, "end_sample": 400}
    next_word = {**word, "text_start": 2, "text_end": 3, "start_sample": 500, "end_sample": 900}
    score.add(egress_pb2.TurnWords(turn=1, words=[word, next_word]), 0.0)
    assert [score.advance(left) for left in (0, 100, 500, 501)] == [0, 1, 0, 3]


LOUD = (8_000 * np.sin(np.arange(320))).astype("<i2").tobytes()
SOFT = bytes(640)


def _hear(floor: Floor, who: str, pcm: bytes, frames: int, now: float = 0.0) -> list[bool]:
    return [floor.hear(who, pcm, 0.02, now + 0.02 * n) for n in range(frames)]


def test_a_single_users_silence_is_heard() -> None:
    assert all(_hear(Floor(Policy.FIRST), "ann", SOFT, 5))


def test_the_first_to_speak_has_the_conversation_until_they_leave() -> None:
    floor = Floor(Policy.FIRST)
    _hear(floor, "bob", SOFT, 5)
    assert _hear(floor, "ann", LOUD, 4) == [False, False, True, True]
    assert not any(_hear(floor, "bob", LOUD, 200, now=60.0))
    assert not floor.type("bob")
    floor.silent("ann")  # her microphone went, she did not
    assert not any(_hear(floor, "bob", LOUD, 5))
    floor.leave("ann")
    assert _hear(floor, "bob", LOUD, 5)[-1]
    assert floor.type("bob")


def test_a_click_takes_no_floor() -> None:
    floor = Floor(Policy.FIRST)
    _hear(floor, "bob", SOFT, 1)
    _hear(floor, "ann", LOUD, 2)
    _hear(floor, "ann", SOFT, 1)
    _hear(floor, "ann", LOUD, 2)
    assert floor.holder == "bob"


def test_who_types_first_has_the_conversation_too() -> None:
    floor = Floor(Policy.FIRST)
    assert floor.type("ann")
    assert not any(_hear(floor, "bob", LOUD, 10))


def test_a_floor_changes_hands_after_a_pause() -> None:
    floor = Floor(Policy.FLOOR)
    _hear(floor, "ann", LOUD, 10, now=0.0)
    assert not any(_hear(floor, "bob", LOUD, 10, now=1.0))
    assert _hear(floor, "bob", LOUD, 10, now=2.0)[-1]
    assert floor.type("ann")
    assert floor.type("bob")


def test_levels() -> None:
    full = (32_767 * np.sin(np.arange(16_000) / 3)).astype("<i2").tobytes()
    assert abs(level(full) + 3.0) < 0.1
    assert level(SOFT) == level(b"") == -120


@given(st.binary(min_size=0, max_size=3 * packets.MAX_PART_BYTES))
def test_parts_put_together_are_the_payload(payload: bytes) -> None:
    parts = list(packets.motion(_motion(100, 140, payload)))
    headers = [packets.HEADER.unpack_from(part) for part in parts]
    assert b"".join(part[packets.HEADER.size :] for part in parts) == payload
    assert max((len(part) for part in parts), default=0) <= 15 * 1024
    for number, header in enumerate(headers):
        assert header == (packets.Kind.MOTION, 1, number, len(parts), 1, 100, 40, 0)
