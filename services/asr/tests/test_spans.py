"""Which utterances a text covers."""

import numpy as np
from stagewire_asr.backends.whisper.recording import Recording
from stagewire_asr.backends.whisper.spans import LONGEST_SPAN_SAMPLES, Clip, Span, Uncommitted


def clip(utterance, start=0, length=100):
    samples = np.full(length, utterance, np.float32)
    return Clip(utterance, start, samples, (start + 10, start + length - 10))


def covered(span):
    return (span.from_utterance, span.utterance)


def test_each_span_begins_after_the_last_commit():
    uncommitted = Uncommitted()
    assert covered(uncommitted.close(clip(1, 0))) == (1, 1)
    assert covered(uncommitted.close(clip(2, 200))) == (1, 2)
    uncommitted.commit(1)
    assert covered(uncommitted.with_open(clip(3, 400))) == (2, 3)
    uncommitted.commit(2)
    assert covered(uncommitted.close(clip(3, 400))) == (3, 3)


def test_an_utterance_committed_while_open_is_not_covered_later():
    uncommitted = Uncommitted()
    uncommitted.commit(1)
    uncommitted.close(clip(1))
    assert covered(uncommitted.close(clip(2, 200))) == (2, 2)


def test_a_span_that_would_be_too_long_leaves_the_older_ones():
    uncommitted = Uncommitted()
    uncommitted.close(clip(1, 0))
    uncommitted.close(clip(2, 1000))
    assert covered(uncommitted.with_open(clip(3, LONGEST_SPAN_SAMPLES - 100))) == (1, 3)
    assert covered(uncommitted.close(clip(3, LONGEST_SPAN_SAMPLES - 50))) == (3, 3)
    assert covered(uncommitted.close(clip(4, LONGEST_SPAN_SAMPLES + 100))) == (3, 4)


def test_a_commit_takes_from_a_span_only_what_it_does_not_end_with():
    span = Span((clip(1), clip(2, 200), clip(3, 400)))
    assert covered(span.after(1)) == (2, 3)
    assert covered(span.after(3)) == (1, 3)
    assert covered(span.after(9)) == (1, 3)


def test_samples_of_a_span_are_found_in_the_stream():
    span = Span((clip(1, 1000), clip(2, 2000, 0), clip(3, 5000)))
    assert list(span.samples()) == [1] * 100 + [3] * 100
    assert span.audible == (1, 3)
    assert [span.stream_sample(offset) for offset in (50, 150)] == [1050, 5050]


def test_what_sounds_before_or_after_speech_is_moved_to_its_edge():
    span = Span((clip(1, 1000), clip(2, 5000)))
    assert [span.stream_sample(offset) for offset in (0, 99, 100, 999)] == [1010, 1090, 5010, 5090]


def test_a_muted_utterance_is_covered_but_not_heard():
    uncommitted = Uncommitted()
    uncommitted.close(clip(1))
    uncommitted.mute(1)
    span = uncommitted.close(clip(2, 200))
    assert covered(span) == (1, 2)
    assert span.audible == (2,)


def test_a_recording_keeps_the_last_samples_under_their_numbers():
    recording = Recording(10)
    for start in range(0, 21, 3):
        recording.append(np.arange(start, start + 3, dtype=np.float32))
    assert recording.end_sample == 21
    assert list(recording.between(15, 18)) == [15, 16, 17]
    assert list(recording.between(0, 99)) == list(range(11, 21))
    assert list(recording.between(30, 40)) == []
