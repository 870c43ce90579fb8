"""Scripted backends of asr, llm and tts for tests: the services around them are the real ones.

They are found as anybody's are, by entry points; ``environment`` installs them for a process. Asr
hears any sound as ``STAGEWIRE_TEST_HEARD``: words after 0.2 s of silence, the end of the turn after
0.6 s. Llm says the user's words again (``forever``: for a long time; ``explode``: it refuses;
``stumble``: it fails, but for the second try); tts speaks a tone, 200 ms for each word (``choke``:
nothing, the first time, until it is killed; the file ``choked`` says that it is time).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from stagekit.audio import Samples
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2
from stagewire.llm.v1 import llm_pb2

FOLDER = "stagewire_scripted-0.dist-info"
STAGES = ("asr", "llm", "tts")
HERTZ = 16_000
_LOUD = 0.01
_WORDS_SECONDS, _TURN_SECONDS = 0.2, 0.6
_WORD_SECONDS = 0.2


def environment(folder: Path, heard: str = "what was heard") -> dict[str, str]:
    """The variables with which services find and choose these backends.

    Args:
        folder: Where the entry points are written; must be new.
        heard: What asr hears.
    """
    about = folder / FOLDER
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stagewire-scripted\nVersion: 0\n")
    groups = (
        f"[stagewire.{stage}.backends]\nscripted = support.scripted_backends:{stage}\n"
        for stage in STAGES
    )
    (about / "entry_points.txt").write_text("\n".join(groups))
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[1])])
    chosen = {f"STAGEWIRE_{stage.upper()}_BACKEND": "scripted" for stage in STAGES}
    said = {"STAGEWIRE_TEST_HEARD": heard, "STAGEWIRE_TEST_FOLDER": str(folder)}
    return {"PYTHONPATH": path, **said, **chosen}


# --- asr -----------------------------------------------------------------------------------------


def asr() -> Any:
    from stagewire_asr import backend as b

    class Session:
        def __init__(self, emit: Any) -> None:
            self._emit = emit
            self._sample = self._quiet = self._utterance = 0
            self._speaking = self._judged = False

        async def feed(self, samples: Samples) -> None:
            arrived = time.monotonic()
            self._sample += len(samples)
            if np.abs(samples).max() > _LOUD:
                self._quiet = 0
                if not self._speaking:
                    self._speaking, self._judged = True, False
                    self._utterance += 1
                    await self._emit(b.SpeechStarted(self._utterance, self._sample))
                return
            self._quiet += len(samples)
            if self._speaking and self._quiet >= _WORDS_SECONDS * HERTZ:
                await self._settle(arrived)
            if self._utterance and not self._judged and self._quiet >= _TURN_SECONDS * HERTZ:
                self._judged = True
                await self._emit(b.EndOfTurn(self._utterance, 0.95, self._quiet))

        async def _settle(self, arrived: float) -> None:
            self._speaking = False
            number, text = self._utterance, os.environ["STAGEWIRE_TEST_HEARD"]
            await self._emit(b.SpeechStopped(number, self._sample - self._quiet))
            started = time.monotonic()
            await asyncio.sleep(0.02)
            timing = b.Timing(arrived, started, time.monotonic())
            await self._emit(b.Final(number, number, text, "en-US", 0.9, (), timing))

        async def hint(self, *, avatar_speaking: bool) -> None:
            pass

        async def finalize(self) -> None:
            pass

        async def commit(self, utterance: int) -> None:
            pass

    class Backend:
        info = b.Info("scripted", (), ("en-US",), ("end_of_turn",), HERTZ)

        def resolve(self, tag: str) -> str:
            return "en-US"

        @asynccontextmanager
        async def listen(self, options: Any, emit: Any) -> AsyncIterator[Session]:
            yield Session(emit)

        async def close(self) -> None:
            pass

    return Backend()


# --- llm -----------------------------------------------------------------------------------------


def llm() -> Any:
    from stagewire_llm import backend as b

    class Backend:
        info = b.BackendInfo("scripted-llm", 4096, ("warm",))

        def __init__(self) -> None:
            self._stumbled = False

        async def generate(self, request: Any) -> AsyncGenerator[Any, None]:
            yield b.Started()
            said = request.messages[-1].text
            if "explode" in said:
                raise StageError(error_pb2.ERROR_REASON_CONTEXT_TOO_LONG, "the script says so")
            if "stumble" in said and not self._stumbled:
                self._stumbled = True
                raise StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "the script says so")
            words = said.split() if "forever" not in said else ["again"] * 500
            for word in words:
                await asyncio.sleep(0.01)
                yield b.Text(f"{word} ")
            usage = llm_pb2.Usage(input_tokens=7, cached_input_tokens=3, output_tokens=len(words))
            yield b.Finished(llm_pb2.FINISH_REASON_STOP, usage)

        async def warm(self, *about: Any) -> Any:
            return None

        async def close(self) -> None:
            pass

    return Backend()


# --- tts -----------------------------------------------------------------------------------------


def tts() -> Any:
    from stagewire_tts import backend as b

    class Backend:
        name = "scripted"
        models: Sequence[str] = ()
        voices = ("tone",)
        languages = ("en-US",)
        sample_rate = HERTZ
        features = ("words",)

        def synthesize(self, text: str, voice: str, rate: float) -> Any:
            choked = Path(os.environ["STAGEWIRE_TEST_FOLDER"], "choked")
            if "choke" in text and not choked.exists():
                choked.touch()
                time.sleep(60)
            length, words, position = int(_WORD_SECONDS * HERTZ), [], 0
            for number, word in enumerate(text.split()):
                begin = text.index(word, position)
                position = begin + len(word)
                start = number * length
                words.append(b.WordTime(begin, position, start, start + length))
            samples = 0.3 * np.sin(np.arange(len(words) * length, dtype=np.float32) / 10)
            return b.Clause(samples.astype(np.float32), tuple(words))

    return Backend()
