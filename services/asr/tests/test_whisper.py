"""The real models on people's voices, through the contract."""

import asyncio
import re

import numpy as np
import pytest
from stagekit.audio import Resampler, to_float, to_pcm
from stagewire.asr.v1 import asr_pb2
from stagewire_asr.backends.whisper.engine import Engine
from stagewire_asr.backends.whisper.recognizer import WhisperBackend
from stagewire_asr.backends.whisper.settings import WhisperSettings
from stagewire_asr.service import stage_of
from stagewire_asr.settings import AsrSettings

pytestmark = pytest.mark.models

RATE = 16_000


@pytest.fixture(scope="module")
def engine():
    return Engine(WhisperSettings())


@pytest.fixture(scope="module")
def backend(engine):
    return WhisperBackend(WhisperSettings(), engine)


@pytest.fixture
async def client(backend, connect):
    stage = stage_of(backend, AsrSettings())
    stage.close = None  # the models serve the next test too
    async with connect(stage) as new_client:
        yield new_client


def room(seconds, rate=RATE, level=8):
    """A quiet room: white noise 72 dB below full scale."""
    noise = np.random.default_rng(0).normal(0, level, int(seconds * rate))
    return noise.astype(np.int16)


def in_a_room(clip, before=0.3, after=2.0, rate=RATE):
    sound = np.concatenate([room(before, rate), clip, room(after, rate)])
    return sound


NUMBERS = {"4": "four", "7": "seven", "8": "eight", "10": "ten", "mr": "mister"}


def words_of(text):
    found = re.findall(r"[a-z0-9']+", text.lower().replace("-", " "))
    return [NUMBERS.get(word, word) for word in found]


def errors(reference, heard):
    """Word errors: Levenshtein's distance."""
    row = list(range(len(heard) + 1))
    for i, said in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, found in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (said != found))
    return row[-1]


def check_the_order(client):
    """What the contract promises about any stream."""
    opened = closed = settled = 0
    for response in client.responses:
        match response.WhichOneof("message"):
            case "speech_started":
                assert opened == closed
                opened += 1
                assert response.speech_started.utterance == opened
            case "speech_stopped":
                closed += 1
                assert response.speech_stopped.utterance == closed == opened
            case "partial":
                assert response.partial.utterance == opened > closed
                assert 1 <= response.partial.from_utterance <= opened
                assert 0 <= response.partial.stable_characters <= len(response.partial.text)
            case "final":
                settled += 1
                assert response.final.utterance == settled <= closed
                assert 1 <= response.final.from_utterance <= settled
            case "end_of_turn":
                assert response.end_of_turn.utterance == closed
    assert opened == closed == settled


async def test_word_errors_of_a_reader(client, speech, transcripts):
    wrong = total = 0
    for name in [name for name in transcripts if name.startswith("librivox")]:
        talk = client()
        await talk.open()
        await talk.say(in_a_room(speech(name)))
        await talk.rest()
        check_the_order(talk)
        reference = words_of(transcripts[name])
        wrong += errors(reference, words_of(talk.all("final")[-1].text))
        total += len(reference)
    assert wrong / total <= 0.10


async def test_an_utterance_as_it_happens(client, speech):
    talk = client(first_sample=5_000)
    await talk.open(wants_partials=True, wants_words=True)
    await talk.say(in_a_room(speech("go-somewhere.wav"), after=1.6), pace=1.0)
    await talk.rest()
    check_the_order(talk)
    kinds = [response.WhichOneof("message") for response in talk.responses]
    assert kinds.index("speech_started") < kinds.index("partial") < kinds.index("final")
    assert talk.all("end_of_turn")
    assert all(0 <= end.probability <= 1 for end in talk.all("end_of_turn"))
    final = talk.all("final")[-1]
    assert words_of(final.text) == ["go", "somewhere", "and", "do", "something"]
    assert final.confidence > 0.5
    assert final.language == "en"
    assert final.timing.since_trigger.ToNanoseconds() > 0
    stopped = talk.all("speech_stopped")[-1]
    assert 0 < stopped.heard_sample - stopped.sample < 0.2 * 16_000, "three silent frames"
    check_words(final, talk.all("speech_started")[0].sample, talk.all("speech_stopped")[-1].sample)


def check_words(final, start, stop):
    """Words lie where they were spoken, give or take a quarter of a second."""
    assert [final.text[word.text_start : word.text_end] for word in final.words] == [
        word.text for word in final.words
    ]
    assert " ".join(word.text for word in final.words) == final.text
    edges = [edge for word in final.words for edge in (word.start_sample, word.end_sample)]
    assert edges == sorted(edges)
    assert abs(edges[0] - start) < RATE // 4
    assert abs(edges[-1] - stop) < RATE // 4


def test_phrases_help_where_words_are_unclear(engine, speech):
    clip = to_float(speech("cards-005.wav").tobytes())
    spoken = ["eight", "of", "spades", "four", "of", "clubs", "seven", "of", "hearts"]
    unaided = engine.decoder.decode(clip, "en")
    aided = engine.decoder.decode(clip, "en", phrases=["queen of clubs", "four of clubs"])
    assert errors(spoken, words_of(aided.text)) < errors(spoken, words_of(unaided.text))


@pytest.mark.parametrize("phrases", [[], ["Tarragona", "Ava"]])
@pytest.mark.parametrize("level", [0.0, 0.001, 0.1, 0.3])
def test_noise_that_passed_for_speech_has_no_text(engine, level, phrases):
    noise = np.random.default_rng(0).normal(0, level, 2 * RATE).astype(np.float32)
    assert engine.decoder.decode(noise, "en", phrases=phrases, careful=True).text == ""


@pytest.mark.parametrize("rate", [8_000, 48_000])
async def test_other_sample_rates_say_the_same_at_the_same_time(client, speech, rate):
    sound = to_float(in_a_room(speech("librivox-0930.wav")).tobytes())
    resampled = Resampler(RATE, rate).push(sound, last=True)
    talk, reference = client(rate=rate), client()
    for stream, pcm in ((talk, to_pcm(resampled)), (reference, to_pcm(sound))):
        await stream.open()
        await stream.say(np.frombuffer(pcm, "<i2"))
        await stream.rest()
    heard, expected = talk.all("final")[-1].text, reference.all("final")[-1].text
    assert errors(words_of(expected), words_of(heard)) <= 1
    apart = talk.all("speech_started")[0].sample / rate
    apart -= reference.all("speech_started")[0].sample / RATE
    assert abs(apart) < 0.1


@pytest.mark.parametrize("level", [0, 8, 300])
async def test_a_room_without_speech_says_nothing(client, level):
    talk = client()
    await talk.open(wants_partials=True)
    await talk.say(room(4, level=level))
    await talk.rest()
    assert [response.WhichOneof("message") for response in talk.responses] == ["ready"]


async def test_noise_has_no_text(client):
    talk = client()
    await talk.open()
    bursts = [room(0.4, level=9_000), room(0.6)] * 4
    await talk.say(np.concatenate(bursts))
    await talk.send(finalize=asr_pb2.Finalize())
    await talk.rest()
    check_the_order(talk)
    assert {final.text for final in talk.all("final")} == {""}


async def test_two_sessions_do_not_hear_each_other(client, speech):
    async def listen(name):
        talk = client()
        await talk.open()
        await talk.say(in_a_room(speech(name)))
        await talk.rest()
        check_the_order(talk)
        return " ".join(words_of(talk.all("final")[-1].text))

    one, two = await asyncio.gather(listen("go-forward.wav"), listen("librivox-0930.wav"))
    assert "forward" in one
    assert "amiable" not in one
    assert "amiable" in two
    assert "forward" not in two


async def test_finalize_in_mid_word_answers_at_once(client, speech):
    talk = client()
    await talk.open()
    await talk.say(np.concatenate([room(0.3), speech("librivox-0930.wav")[: 2 * RATE]]))
    await talk.send(finalize=asr_pb2.Finalize())
    final = await talk.next("final")
    assert "he might even" in final.text.lower()
    await talk.rest()
    check_the_order(talk)


async def test_finalize_when_nothing_was_said_answers_with_nothing(client):
    talk = client()
    await talk.open()
    await talk.say(room(0.5))
    await talk.send(finalize=asr_pb2.Finalize())
    final = await talk.next("final", timeout=1)
    assert (final.utterance, final.from_utterance, final.text) == (1, 1, "")
    await talk.rest()
    check_the_order(talk)


async def test_a_pause_in_mid_sentence_until_the_commit(client, speech):
    sentence = in_a_room(speech("librivox-0930.wav"), after=0.6)
    rest = in_a_room(speech("go-somewhere.wav"), after=0.6)
    talk = client()
    await talk.open()
    await talk.say(np.concatenate([sentence, rest]))
    while "something" not in (whole := await talk.next("final")).text.lower():
        assert whole.from_utterance == 1
    assert "amiable" in whole.text.lower()
    await talk.send(commit=asr_pb2.Commit(utterance=whole.utterance))
    await talk.say(in_a_room(speech("go-forward.wav")))
    await talk.rest()
    check_the_order(talk)
    last = talk.all("final")[-1]
    assert last.from_utterance == whole.utterance + 1
    assert "forward" in last.text.lower()
    assert "something" not in last.text.lower()


async def test_half_closing_in_mid_word_still_settles_the_utterance(client, speech):
    talk = client()
    await talk.open()
    await talk.say(speech("librivox-0930.wav")[: 2 * RATE])
    await talk.rest()
    check_the_order(talk)
    assert "might" in talk.all("final")[-1].text.lower()


def test_languages_are_bcp_47(backend):
    assert len(backend.info.languages) == 99
    assert [backend.resolve(tag) for tag in ("en-US", "nb", "zh-Hant-TW", "de")] == [
        "en",
        "no",
        "zh",
        "de",
    ]
