"""The conversation machine by example, under a virtual clock."""

from __future__ import annotations

from driver import CHUNK, HERTZ, Driver
from stagewire.common.v1 import error_pb2, session_event_pb2, turn_pb2
from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.history import Message
from stagewire_orchestrator.policy import Policy

COMPLETED = turn_pb2.TURN_END_REASON_COMPLETED
INTERRUPTED = turn_pb2.TURN_END_REASON_INTERRUPTED
SUPERSEDED = turn_pb2.TURN_END_REASON_SUPERSEDED


def test_a_turn_from_question_to_end() -> None:
    d = Driver()
    turn = d.ask("What is the capital of Italy?")
    d.generate(turn, "Rome is the capital of Italy.")
    d.words(turn, "Rome is the capital of Italy.", CHUNK)
    d.voice(turn, 6)
    d.feed(e.TtsDone(turn), e.MotionEnded(turn))
    assert d.all(c.FinishPlaying) == [c.FinishPlaying(turn)]
    d.feed(e.Played(turn, 6 * CHUNK), e.EgressEnded(turn, COMPLETED, 6 * CHUNK), after=0.3)

    assert d.history.messages() == (
        Message("system", "You are a test."),
        Message("user", "What is the capital of Italy?"),
        Message("assistant", "Rome is the capital of Italy."),
    )
    assert "".join(f.text for f in d.all(c.FeedTts)).strip() == "Rome is the capital of Italy."
    assert [a.event.turn_summary.reason for a in d.announced("turn_summary")] == [COMPLETED]
    assert d.machine.idle


def test_the_answer_is_prepared_early_and_held_until_the_turn_is_over() -> None:
    d = Driver()
    d.hear("What is the capital of Italy?")
    turn = d.machine.turns
    assert [s.turn for s in d.all(c.StartLlm)] == [turn]
    d.generate(turn, "Rome.")
    d.voice(turn)
    assert d.all(c.StartMotion), "motion is prepared too"
    assert not d.all(c.StartPlaying)
    assert not d.all(c.PlayAudio)

    out = d.feed(e.EndOfTurn(1, 0.8))
    played = [type(x) for x in out if isinstance(x, c.StartPlaying | c.PlayAudio | c.PlayMotion)]
    assert played[0] is c.StartPlaying
    assert played.count(c.PlayAudio) == 4
    assert len(d.all(c.StartLlm)) == 1, "the prepared answer was used"


def test_without_speculation_nothing_starts_before_the_end_of_the_turn() -> None:
    d = Driver(policy=Policy(speculate=False))
    d.hear("Hello there.")
    assert not d.all(c.StartLlm)
    d.feed(e.EndOfTurn(1, 0.8))
    assert len(d.all(c.StartLlm)) == 1


def test_a_user_who_goes_on_supersedes_the_prepared_answer() -> None:
    d = Driver()
    d.hear("What is the capital")
    d.generate(1, "The capital of what?")
    d.voice(1)
    d.feed(e.SpeechStarted(2))
    assert c.InterruptMotion(1) in d.all(c.InterruptMotion)
    d.feed(e.SpeechStopped(2, d.now), after=0.5)
    d.feed(e.Final(2, 1, "What is the capital of France?"))
    d.feed(e.EndOfTurn(2, 0.9))

    assert d.all(c.StartLlm)[-1].messages[-1].text == "What is the capital of France?"
    assert not [p for p in d.all(c.PlayAudio) if p.turn == 1]
    assert [a.event.turn_summary.reason for a in d.announced("turn_summary")] == [SUPERSEDED]
    assert d.all(c.CommitUtterance) == [c.CommitUtterance(2)]


def test_utterances_that_asr_does_not_join_are_joined_here() -> None:
    d = Driver()
    d.hear("What is the capital", utterance=1)
    d.hear("of France?", utterance=2)
    d.feed(e.EndOfTurn(2, 0.9))
    assert d.all(c.StartLlm)[-1].messages[-1].text == "What is the capital of France?"


def test_a_low_probability_waits_until_the_silence_runs_out() -> None:
    d = Driver()
    d.hear("I was thinking")
    d.feed(e.EndOfTurn(1, 0.1))
    assert not d.all(c.CommitUtterance)
    d.pass_time(Policy.silence_timeout)
    assert d.all(c.CommitUtterance) == [c.CommitUtterance(1)]


def test_end_of_turn_before_the_words_waits_for_the_words() -> None:
    d = Driver()
    d.feed(e.SpeechStarted(1), e.SpeechStopped(1, d.now), e.EndOfTurn(1, 0.95))
    assert not d.all(c.StartLlm)
    d.feed(e.Final(1, 1, "Hi."), after=0.2)
    assert d.all(c.CommitUtterance) == [c.CommitUtterance(1)]
    assert len(d.all(c.StartLlm)) == 1


def test_words_that_asr_settles_late_are_not_lost() -> None:
    d = Driver()
    d.feed(e.SpeechStarted(1), e.SpeechStopped(1, d.now))
    d.feed(e.Final(1, 1, "Hello there."), after=Policy.silence_timeout + 1)
    assert d.all(c.StartLlm)[-1].messages[-1].text == "Hello there."
    assert d.all(c.CommitUtterance) == [c.CommitUtterance(1)]


def test_words_that_asr_never_settles_are_taken_as_they_are() -> None:
    d = Driver()
    d.feed(e.SpeechStarted(1), e.Partial(1, 1, "hello the", 5), e.SpeechStopped(1, d.now))
    d.pass_time(Policy.silence_timeout)
    assert not d.all(c.StartLlm)
    d.pass_time(Policy.words_timeout)
    assert d.all(c.StartLlm)[-1].messages[-1].text == "hello the"


def test_barge_in_stops_everything_at_once() -> None:
    d = Driver()
    turn = d.ask("Tell me a story.")
    d.feed(e.LlmDelta(turn, "Once upon a time there was a fox, who "))
    d.words(turn, "Once upon a time there was a fox, who ", 2 * CHUNK)
    d.voice(turn, 20)
    d.feed(e.Played(turn, 5 * CHUNK), after=0.25)
    out = d.feed(e.SpeechStarted(2))
    assert [x for x in out if not isinstance(x, c.Announce | c.HintSpeaking)] == [
        c.InterruptPlaying(turn),
        c.CancelCalls(turn),
        c.InterruptMotion(turn),
    ]
    # What was in flight comes to nothing.
    late = d.feed(
        e.LlmDelta(turn, "lived"),
        e.TtsAudio(turn, bytes(2 * CHUNK), 20 * CHUNK),
        e.MotionFrames(turn, b"m", 20 * CHUNK, 21 * CHUNK),
        e.LlmDone(turn),
    )
    assert late == []
    d.feed(e.EgressEnded(turn, INTERRUPTED, 6 * CHUNK))
    assert d.history.messages()[-1] == Message("assistant", "Once upon a…")
    summary = d.announced("turn_summary")[-1].event.turn_summary
    assert (summary.reason, summary.played_samples) == (INTERRUPTED, 6 * CHUNK)
    assert summary.heard_characters == len("Once upon a")


def test_an_interrupted_turn_that_egress_never_ends_keeps_the_last_confirmed_position() -> None:
    d = Driver()
    turn = d.ask("Tell me a story.")
    d.generate(turn, "Once upon a time.")
    d.words(turn, "Once upon a time. ", 2 * CHUNK)
    d.voice(turn, 8)
    d.feed(e.Played(turn, 4 * CHUNK))
    d.feed(e.SpeechStarted(2))
    d.pass_time(Policy.stop_timeout)
    assert d.history.messages()[-1] == Message("assistant", "Once upon…")


def test_nothing_heard_leaves_no_trace_in_the_history() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.generate(turn, "Hello to you.")
    d.words(turn, "Hello to you. ", 2 * CHUNK)
    d.voice(turn)
    d.feed(e.SpeechStarted(2), e.EgressEnded(turn, INTERRUPTED, 0))
    d.feed(e.SpeechStopped(2, d.now), e.Final(2, 2, "Wait."), e.EndOfTurn(2, 0.9))
    assert d.history.messages()[1:] == (Message("user", "Hello. Wait."),)


def test_noise_before_the_first_sound_does_not_lose_the_answer() -> None:
    d = Driver()
    d.ask("Hello.")
    d.feed(e.SpeechStarted(2))
    d.feed(e.SpeechStopped(2, d.now), e.Final(2, 2, ""), e.EndOfTurn(2, 0.9), after=0.3)
    assert d.all(c.StartLlm)[-1].messages[-1] == Message("user", "Hello.")
    assert d.machine.turns == 2


def test_noise_while_nothing_goes_on_is_nothing() -> None:
    d = Driver()
    d.feed(e.SpeechStarted(1), e.SpeechStopped(1, d.now), e.Final(1, 1, ""), e.EndOfTurn(1, 1.0))
    assert not d.all(c.StartLlm)
    assert not d.announced("user_transcript")
    assert d.machine.idle


def test_the_first_sound_waits_for_its_motion_but_not_for_ever() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.generate(turn, "Hi.")
    d.voice(turn, 2, motion=False)
    assert not d.all(c.StartPlaying)
    d.pass_time(Policy.motion_wait + 0.01)
    assert d.all(c.StartPlaying)
    assert len(d.all(c.PlayAudio)) == 2


def test_the_stage_may_ask_that_the_first_sound_waits_longer_for_its_motion() -> None:
    d = Driver(motion_wait=2.0)
    turn = d.ask("Hello.")
    d.generate(turn, "Hi.")
    d.voice(turn, 2, motion=False)
    d.pass_time(1.9)
    assert not d.all(c.StartPlaying)
    d.pass_time(0.11)
    assert d.all(c.StartPlaying)


def test_sound_goes_on_without_lips_when_motion_breaks() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.generate(turn, "Hi.")
    d.voice(turn, 2)
    d.feed(e.MotionLost())
    d.voice(turn, 2, start=2, motion=False)
    d.feed(e.TtsDone(turn))
    assert len(d.all(c.PlayAudio)) == 4
    assert len(d.all(c.MoveAudio)) == 2
    assert d.all(c.FinishPlaying)
    d.feed(e.EgressEnded(turn, COMPLETED, 4 * CHUNK), e.MotionBack())
    turn = d.ask("Again.", 2)
    d.voice(turn, 1)
    assert d.all(c.StartMotion)[-1].turn == turn


def test_motion_that_comes_after_the_end_was_told_is_dropped() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.generate(turn, "Hi.")
    d.voice(turn, 2)
    d.feed(e.TtsDone(turn))
    d.pass_time(Policy.motion_wait + 0.01)
    assert d.all(c.FinishPlaying)
    before = len(d.all(c.PlayMotion))
    d.feed(e.MotionFrames(turn, b"late", CHUNK, 2 * CHUNK), e.MotionEnded(turn))
    assert len(d.all(c.PlayMotion)) == before, "egress would end the session's stream"


def test_reading_pauses_at_the_longest_lead() -> None:
    d = Driver(policy=Policy(max_lead=1.0))
    turn = d.ask("Hello.")
    d.voice(turn, HERTZ // CHUNK - 1)
    assert d.machine.wants_audio(turn, d.now)
    d.voice(turn, 1, start=HERTZ // CHUNK - 1)
    assert not d.machine.wants_audio(turn, d.now)
    d.feed(e.Played(turn, CHUNK))
    assert d.machine.wants_audio(turn, d.now)


def test_an_llm_that_fails_ends_the_turn_and_the_next_one_works() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.feed(e.StageFailed(turn, "llm", error_pb2.Fault(code=14, message="llm: gone")))
    assert d.announced("notice")
    assert d.announced("turn_summary")[-1].event.turn_summary.reason == (
        turn_pb2.TURN_END_REASON_FAILED
    )
    again = d.ask("Hello?", 2)
    assert d.all(c.StartLlm)[-1].messages[-1].text == "Hello. Hello?"
    d.generate(again, "Hi.")
    d.voice(again)
    assert d.all(c.PlayAudio)


def test_a_voice_that_breaks_half_way_is_heard_as_far_as_it_came() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.generate(turn, "One two three four.")
    d.words(turn, "One two", 2 * CHUNK)
    d.voice(turn, 4)
    d.feed(e.StageFailed(turn, "tts", error_pb2.Fault(code=14)), e.MotionEnded(turn))
    d.feed(e.EgressEnded(turn, COMPLETED, 4 * CHUNK))
    assert d.history.messages()[-1] == Message("assistant", "One two…")


def test_an_answer_without_sound_ends() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.feed(e.LlmDone(turn), e.TtsDone(turn))
    assert d.announced("turn_summary")[-1].event.turn_summary.reason == COMPLETED
    assert d.machine.idle


def test_greeting_is_spoken_once_and_can_be_interrupted() -> None:
    d = Driver(greeting="Hi, I'm Ava. What now?")
    assert "".join(f.text for f in d.all(c.FeedTts)) == "Hi, I'm Ava. What now?"
    assert not d.all(c.StartLlm)
    d.voice(1)
    d.feed(e.SpeechStarted(1))
    assert d.all(c.InterruptPlaying) == [c.InterruptPlaying(1)]
    d.feed(e.ClientLeft(), e.ClientJoined())
    assert d.machine.turns == 1


def test_typed_text_interrupts_and_is_answered() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.generate(turn, "Hi.")
    d.voice(turn)
    out = d.feed(e.UserText("Stop that, and sing."))
    assert c.InterruptPlaying(turn) in out
    assert [s.messages[-1].text for s in out if isinstance(s, c.StartLlm)] == [
        "Hello. Stop that, and sing."
    ]


def test_warm_follows_the_stable_words() -> None:
    d = Driver()
    d.feed(e.SpeechStarted(1))
    d.feed(e.Partial(1, 1, "what is the", 7))
    d.feed(e.Partial(1, 1, "what is the cap", 7))
    d.feed(e.Partial(1, 1, "what is the capital of", 19))
    warmed = [w.messages[-1].text for w in d.all(c.WarmLlm)]
    assert warmed == ["", "what is", "what is the capital"]


def test_a_lost_asr_keeps_the_words_and_the_turn_ends_by_silence() -> None:
    d = Driver()
    d.feed(e.SpeechStarted(3), e.Partial(3, 3, "tell me about Rome", 4), e.AsrLost())
    d.pass_time(Policy.silence_timeout)
    assert d.all(c.StartLlm)[-1].messages[-1].text == "tell me about Rome"
    d.ask("And Paris?", 1)
    assert "Paris" in d.all(c.StartLlm)[-1].messages[-1].text


def test_a_lost_egress_ends_what_sounds_with_what_was_confirmed() -> None:
    d = Driver()
    turn = d.ask("Hello.")
    d.generate(turn, "One two three.")
    d.words(turn, "One two three. ", CHUNK)
    d.voice(turn, 3)
    d.feed(e.Played(turn, CHUNK))
    out = d.feed(e.EgressLost())
    assert not [x for x in out if isinstance(x, c.InterruptPlaying)]
    assert d.history.messages()[-1] == Message("assistant", "One…")
    nxt = d.ask("Again?", 2)
    d.voice(nxt)
    assert not [p for p in d.all(c.PlayAudio) if p.turn == nxt]
    d.feed(e.EgressBack())
    assert [p for p in d.all(c.PlayAudio) if p.turn == nxt]


def test_a_client_that_comes_back_is_told_the_state_though_it_is_the_same() -> None:
    d = Driver()
    d.feed(e.EgressLost(), e.ClientLeft(), e.EgressBack())
    out = d.feed(e.ClientJoined())
    told = [a.event.state_changed.state for a in out if isinstance(a, c.Announce)]
    assert told == [session_event_pb2.CONVERSATION_STATE_LISTENING]
    assert not [x for x in out if isinstance(x, c.HintSpeaking)]
    assert not d.feed(e.Tick())
