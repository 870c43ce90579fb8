"""From a backend's events to the contract's messages."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from stagewire.asr.v1 import asr_pb2
from stagewire.common.v1 import timing_pb2

from stagewire_asr import backend
from stagewire_asr.microphone import Microphone


def to_response(
    event: backend.Event, microphone: Microphone, clock: Callable[[], float]
) -> asr_pb2.TranscribeResponse:
    """The message that says ``event``; ``clock`` is the backend's, and now is the sending."""
    match event:
        case backend.SpeechStarted(utterance, sample):
            started = asr_pb2.SpeechStarted(
                utterance=utterance, sample=microphone.caller_sample(sample)
            )
            return asr_pb2.TranscribeResponse(speech_started=started)
        case backend.Partial(utterance, from_utterance, text, stable_characters):
            partial = asr_pb2.Partial(
                utterance=utterance,
                from_utterance=from_utterance,
                text=text,
                stable_characters=stable_characters,
            )
            return asr_pb2.TranscribeResponse(partial=partial)
        case backend.SpeechStopped(utterance, sample, heard_sample):
            stopped = asr_pb2.SpeechStopped(
                utterance=utterance, sample=microphone.caller_sample(sample)
            )
            if heard_sample:
                stopped.heard_sample = microphone.caller_sample(heard_sample)
            return asr_pb2.TranscribeResponse(speech_stopped=stopped)
        case backend.EndOfTurn(utterance, probability, silence_samples):
            end = asr_pb2.EndOfTurn(
                utterance=utterance,
                probability=probability,
                silence=_duration(microphone.seconds(silence_samples)),
            )
            return asr_pb2.TranscribeResponse(end_of_turn=end)
        case backend.Final():
            return asr_pb2.TranscribeResponse(final=_final(event, microphone, clock()))
        case backend.Failed(error):
            return asr_pb2.TranscribeResponse(fault=error.to_fault())


def _final(event: backend.Final, microphone: Microphone, now: float) -> asr_pb2.Final:
    return asr_pb2.Final(
        utterance=event.utterance,
        from_utterance=event.from_utterance,
        text=event.text,
        language=event.language,
        confidence=event.confidence,
        words=[_word(word, microphone) for word in event.words],
        timing=measured(event.timing, now),
    )


def measured(timing: backend.Timing, now: float) -> timing_pb2.StageTiming:
    """A backend's moments as durations, up to ``now`` on its clock."""
    return timing_pb2.StageTiming(
        queue_wait=_duration(timing.started - timing.trigger),
        compute_to_first_output=_duration(timing.finished - timing.started),
        since_trigger=_duration(now - timing.trigger),
    )


def _word(word: backend.Word, microphone: Microphone) -> timing_pb2.Word:
    start = microphone.caller_sample(word.start_sample)
    return timing_pb2.Word(
        text=word.text,
        start_sample=start,
        end_sample=max(start + 1, microphone.caller_sample(word.end_sample)),
        text_start=word.text_start,
        text_end=word.text_end,
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(max(0, round(seconds * 1e9)))
    return duration
