"""The conversation machine under generated orders of events: what must hold in every one."""

from __future__ import annotations

from driver import CHUNK, HERTZ, Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from stagewire.common.v1 import error_pb2, turn_pb2
from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.latency import Delivered, Reported
from stagewire_orchestrator.policy import Policy

TEXT = "alpha beta gamma delta epsilon zeta eta theta. "


class Stages:
    """Turns a choice of the generator into an event that stages could send at this point."""

    def __init__(self, driver: Driver) -> None:
        self.d = driver
        self.utterance = 0
        self.sent: dict[int, int] = {}

    def turn(self, back: int) -> int:
        return max(0, self.d.machine.turns - back)

    def event(self, name: str, back: int) -> list[e.Event]:
        turn = self.turn(back)
        at = self.sent.get(turn, 0)
        match name:
            case "start":
                self.utterance += 1
                return [e.SpeechStarted(self.utterance)]
            case "partial":
                return [e.Partial(self.utterance, self.utterance, "some words here", 4)]
            case "stop":
                return [e.SpeechStopped(self.utterance, self.d.now)]
            case "final":
                return [e.Final(self.utterance, max(1, self.utterance - back), f"words {back}")]
            case "noise":
                return [e.Final(self.utterance, self.utterance, "")]
            case "over":
                return [e.EndOfTurn(self.utterance, 0.9)]
            case "delta":
                return [e.LlmDelta(turn, TEXT)]
            case "done":
                return [e.LlmDone(turn)]
            case "audio":
                if not self.d.machine.wants_audio(turn, self.d.now):
                    return []
                self.sent[turn] = at + CHUNK
                return [e.TtsAudio(turn, bytes(2 * CHUNK), at)]
            case "voiced":
                return [e.TtsDone(turn)]
            case "motion":
                return [e.MotionFrames(turn, b"m", max(0, at - CHUNK), at)]
            case "moved":
                return [e.MotionFailed(turn) if back == 2 else e.MotionEnded(turn)]
            case "played":
                told = Delivered(Reported(0.01 * back, 0.1), 0.05, 0.02)
                return [e.Played(turn, at * back // 2, told if back else None)]
            case "ended":
                reason = turn_pb2.TURN_END_REASON_COMPLETED
                return [e.EgressEnded(turn, reason, at)]
            case "fail":
                return [e.StageFailed(turn, "llm" if back else "tts", error_pb2.Fault(code=14))]
        return {
            "asr lost": [e.AsrLost()],
            "motion lost": [e.MotionLost()],
            "motion back": [e.MotionBack()],
            "egress lost": [e.EgressLost()],
            "egress back": [e.EgressBack()],
            "text": [e.UserText("typed")],
            "silence": [e.UserInterrupt()],
            "left": [e.ClientLeft()],
            "joined": [e.ClientJoined()],
        }[name]


NAMES = [
    *("start", "partial", "stop", "final", "noise", "over"),
    *("delta", "done", "audio", "voiced", "motion", "moved", "played", "ended", "fail"),
    *("asr lost", "motion lost", "motion back", "egress lost", "egress back"),
    *("text", "silence", "left", "joined"),
]

STEPS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 2), st.sampled_from([0.0, 0.02, 0.3, 3.0])),
    max_size=60,
)


def play(
    steps: list[tuple[str, int, float]], greeting: str = "", engine_plays: bool = False
) -> Driver:
    driver = Driver(greeting, engine_plays=engine_plays)
    stages = Stages(driver)
    for name, back, wait in steps:
        driver.feed(*stages.event(name, back), after=wait)
    return driver


@settings(max_examples=300, deadline=None)
@given(STEPS, st.booleans())
def test_no_output_of_a_turn_after_its_interrupt_or_end(
    steps: list[tuple[str, int, float]], engine_plays: bool
) -> None:
    over: set[int] = set()
    for _, command in play(steps, "Hello. ", engine_plays).log:
        match command:
            case c.InterruptPlaying():
                over.add(command.turn)
            case c.Announce() if command.event.WhichOneof("event") == "turn_summary":
                over.add(command.event.turn)
            case c.StartPlaying() | c.PlayAudio() | c.PlayMotion() | c.PlayWords():
                assert command.turn not in over
            case c.FeedTts() | c.StartLlm() | c.StartTts() | c.MoveAudio():
                assert command.turn not in over


@settings(max_examples=300, deadline=None)
@given(STEPS, st.booleans())
def test_every_turn_ends_exactly_once_and_listening_comes_back(
    steps: list[tuple[str, int, float]], engine_plays: bool
) -> None:
    driver = play(steps, engine_plays=engine_plays)
    if driver.machine.idle is False:
        driver.feed(e.EgressBack(), e.ClientJoined())
        driver.feed(e.SpeechStopped(1_000, driver.now))
    # Nobody says anything any more: only time passes.
    driver.pass_time(200.0)
    ended = [a.event.turn for a in driver.announced("turn_summary")]
    assert len(ended) == len(set(ended))
    assert set(ended) == set(range(1, driver.machine.turns + 1))


@settings(max_examples=300, deadline=None)
@given(STEPS, st.booleans())
def test_history_never_holds_an_unheard_word(
    steps: list[tuple[str, int, float]], engine_plays: bool
) -> None:
    driver = Driver(engine_plays=engine_plays)
    stages = Stages(driver)
    confirmed: dict[int, int] = {}
    for name, back, wait in steps:
        for event in stages.event(name, back):
            if isinstance(event, e.TtsAudio) and event.start_sample == 0:
                driver.words(event.turn, TEXT, CHUNK)
            if isinstance(event, e.Played):
                confirmed[event.turn] = max(confirmed.get(event.turn, 0), event.samples)
            if isinstance(event, e.EgressEnded):
                confirmed[event.turn] = max(confirmed.get(event.turn, 0), event.played_samples)
            driver.feed(event, after=wait)
    heard = max((samples // CHUNK for samples in confirmed.values()), default=0)
    words = TEXT.split()
    complete = any(
        a.event.turn_summary.reason == turn_pb2.TURN_END_REASON_COMPLETED
        for a in driver.announced("turn_summary")
    )
    for message in driver.history.messages():
        if message.role == "assistant" and not complete:
            said = message.text.replace("…", " ").split()
            assert all(word in words[:heard] for word in said)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 3, 40]), min_size=1, max_size=80))
def test_voice_ahead_of_playback_is_bounded(reports: list[int]) -> None:
    """However the client reports, a tts that never tires gets no further than the lead."""
    policy = Policy(max_lead=1.0)
    driver = Driver(policy=policy)
    turn = driver.ask("Talk for ever.")
    sent = played = 0
    for chunks_played in reports:
        while driver.machine.wants_audio(turn, driver.now):
            driver.feed(e.TtsAudio(turn, bytes(2 * CHUNK), sent))
            sent += CHUNK
        assert sent - played < policy.max_lead * HERTZ + CHUNK
        played = min(sent, played + chunks_played * CHUNK)
        driver.feed(e.Played(turn, played))


@settings(max_examples=200, deadline=None)
@given(STEPS, st.booleans())
def test_nothing_plays_before_the_users_turn_is_over(
    steps: list[tuple[str, int, float]], engine_plays: bool
) -> None:
    driver = play(steps, engine_plays=engine_plays)
    sounding = (c.StartPlaying, c.StartMotion, c.MoveAudio) if engine_plays else (c.StartPlaying,)
    committed = 0
    for _, command in driver.log:
        if isinstance(command, c.Announce):
            event = command.event
            if event.WhichOneof("event") == "user_transcript" and event.user_transcript.final:
                committed += 1
        if isinstance(command, sounding):
            assert committed > 0
