"""What tts says: contiguous voice, words and speech sounds where they belong, one `done`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from contract.stage import USER_TEXT
from contract.stages.tts import Tts
from contract.wire import Call

pytestmark = pytest.mark.about("tts")

Begin = Callable[..., Call]


async def spoken(stage: Tts, call: Call, *texts: str, **fields: Any) -> list[Any]:
    """All answers to a turn with these texts."""
    await call.send(stage.open(**fields), *(stage.text(text) for text in texts))
    await call.half_close()
    return await call.rest()


def arms(messages: list[Any]) -> list[str]:
    return [message.WhichOneof("message") for message in messages]


def words_of(messages: list[Any]) -> list[Any]:
    return [word for message in messages for word in message.words.words]


async def test_voice_is_contiguous_and_done_is_last(stage: Tts, begin: Begin) -> None:
    texts = ["One clause, ", "and then another. ", "Now a second sentence."]
    messages = await spoken(stage, begin(), *texts)
    assert arms(messages)[0] == "ready"
    assert arms(messages)[-1] == "done"
    assert {arms(messages).count(once) for once in ("ready", "done")} == {1}
    sent = 0
    for message in messages:
        if message.HasField("timing"):
            assert message.WhichOneof("message") == "audio", "it tells of the first sound"
            assert sent == 0
            told = message.timing
            parts = (told.queue_wait, told.compute_to_first_output)
            spent = sum(part.ToNanoseconds() for part in parts)
            assert 0 < spent <= told.since_trigger.ToNanoseconds()
        if message.WhichOneof("message") == "audio":
            size = len(message.audio.data)
            assert size > 0
            assert size % 2 == 0
            assert message.audio.start_sample == sent
            sent += size // 2
    done = messages[-1].done
    assert done.samples == sent > 0
    assert done.characters == len("".join(texts))
    assert done.timing.since_trigger.ToTimedelta().total_seconds() > 0


async def test_words_stand_where_they_sound_and_where_they_are_written(
    stage: Tts, begin: Begin
) -> None:
    texts = ["The year 1984 wasn't long. ", "Ça va? \N{SMILING FACE WITH SUNGLASSES} Yes."]
    messages = await spoken(stage, begin(), *texts)
    if "words" not in messages[0].ready.features:
        pytest.skip("the stage announces no words")
    whole, sent, sound_end, text_end = "".join(texts), 0, 0, 0
    for message in messages:
        if message.WhichOneof("message") == "audio":
            sent += len(message.audio.data) // 2
        for word in message.words.words:
            assert word.start_sample >= sent, "words come before their audio"
            assert word.start_sample >= sound_end
            assert word.end_sample > word.start_sample
            assert word.text_start >= text_end
            assert word.text == whole[word.text_start : word.text_end]
            sound_end, text_end = word.end_sample, word.text_end
    assert sound_end <= messages[-1].done.samples
    assert [word.text for word in words_of(messages)][:2] == ["The", "year"]


async def test_speech_sounds_are_contiguous_and_come_before_their_audio(
    stage: Tts, begin: Begin
) -> None:
    messages = await spoken(stage, begin(), "A quick test, ", "and some more of it.")
    if "phonemes" not in messages[0].ready.features:
        pytest.skip("the stage announces no phonemes")
    sent, reached, count = 0, 0, 0
    for message in messages:
        if message.WhichOneof("message") == "audio":
            sent += len(message.audio.data) // 2
            assert reached >= sent, "the speech sounds of a stretch come before its audio"
        for phoneme in message.phonemes.phonemes:
            assert message.phonemes.alphabet != 0
            assert phoneme.start_sample == reached
            assert phoneme.end_sample >= phoneme.start_sample
            reached = phoneme.end_sample
            count += 1
    assert count > 10


async def test_nothing_is_sent_that_was_not_asked_for(stage: Tts, begin: Begin) -> None:
    messages = await spoken(stage, begin(), "Yes.", wants_words=False, wants_phonemes=False)
    assert set(arms(messages)) == {"ready", "audio", "done"}


async def test_a_clause_sounds_before_the_next_one_is_there(stage: Tts, begin: Begin) -> None:
    call = begin()
    await call.send(stage.open(), stage.text("This comes first, "), stage.request(flush={}))
    await call.until("audio")
    await call.send(stage.text("and this comes later."))
    await call.half_close()
    assert arms(await call.rest())[-1] == "done"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "...",
        "\N{SMILING FACE WITH SUNGLASSES}\N{ZERO WIDTH JOINER}",
        "a\x00b",
        "\u202eright to left\u202c שלום",
        "<speak><break time='9s'/>hi</speak>",
        "3.14 Dr. Smith e.g. $5 50% 1/2 http://x.y/z?a=b",
        "no end " * 500,
    ],
    ids=["none", "space", "dots", "emoji", "nul", "rtl", "markup", "numbers", "long"],
)
async def test_any_text_is_spoken_or_left_out(stage: Tts, begin: Begin, text: str) -> None:
    if len(text) > 100:  # spoken whole it lasts minutes; what matters is that it is taken
        call = begin()
        await call.send(stage.open(), stage.text(text))
        await call.until("audio")
        return
    messages = await spoken(stage, begin(), text)
    assert arms(messages)[-1] == "done"
    assert messages[-1].done.characters == len(text)


async def test_no_text_at_all(stage: Tts, begin: Begin) -> None:
    messages = await spoken(stage, begin())
    assert arms(messages) == ["ready", "done"]
    assert messages[-1].done.samples == 0


async def test_two_turns_at_once_do_not_mix(stage: Tts, begin: Begin) -> None:
    first, second = await asyncio.gather(
        spoken(stage, begin(), f"{USER_TEXT}."), spoken(stage, begin(), "Quite another thing.")
    )
    if "words" not in first[0].ready.features:
        pytest.skip("the stage announces no words")
    assert "".join(word.text for word in words_of(first)).startswith("theviolet")
    assert "".join(word.text for word in words_of(second)).startswith("Quiteanother")
