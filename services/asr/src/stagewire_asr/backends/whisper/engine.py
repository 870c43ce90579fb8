"""The models, shared by all sessions, and the threads that run them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from stagekit.audio import Samples
from stagekit.model_fetch import ensure

from stagewire_asr.backend import Options
from stagewire_asr.backends.whisper.decoder import Decoder, Hypothesis
from stagewire_asr.backends.whisper.settings import WhisperSettings
from stagewire_asr.backends.whisper.turn import SmartTurn
from stagewire_asr.backends.whisper.vad import VoiceActivity, quiet_session

Result = TypeVar("Result")


class Engine:
    """Runs each model on its own threads, so that none waits behind another.

    Decoding takes a core or two for 0.3 s; the end-of-turn model takes 0.1 s and must not wait for
    it; voice activity takes less than a millisecond and must not wait for either.

    Args:
        settings: The backend's.
    """

    def __init__(self, settings: WhisperSettings) -> None:
        """Fetches and loads the models, which may take long."""
        self.models = ["silero-vad", "smart-turn", settings.model]
        self._vad = quiet_session(ensure("silero-vad") / "silero_vad_v6.onnx")
        self._turn = SmartTurn(ensure("smart-turn") / "smart-turn-v3.2-cpu.onnx")
        self.decoder = Decoder(ensure(settings.model), settings.threads, settings.workers)
        self._english = self.decoder
        if settings.partial_model not in ("", settings.model):
            self.models.append(settings.partial_model)
            self._english = Decoder(
                ensure(settings.partial_model), settings.threads, settings.workers
            )
        self._workers = settings.workers
        self._decoding: set[Future[tuple[float, Hypothesis]]] = set()
        self._decoders = ThreadPoolExecutor(settings.workers, "decode")
        self._judges = ThreadPoolExecutor(1, "turn")
        self._ears = ThreadPoolExecutor(2, "vad")

    def new_ear(self) -> VoiceActivity:
        """Voice activity for one microphone."""
        return VoiceActivity(self._vad)

    async def listen(self, ear: VoiceActivity, samples: Samples) -> list[float]:
        """Speech probabilities of the frames that ``samples`` complete."""
        return await self._on(self._ears, lambda: ear.hear(samples))

    async def turn_probability(self, samples: Samples) -> float:
        """How likely the turn is over after ``samples``."""
        return await self._on(self._judges, lambda: self._turn.probability(samples))

    async def settle(self, samples: Samples, options: Options) -> tuple[float, Hypothesis]:
        """The best text, and when work on it began (``time.monotonic``); waits for its place.

        Raises:
            RuntimeError: When the model fails.
        """
        return await self._decode(
            lambda: self.decoder.decode(
                samples,
                options.language,
                phrases=options.phrases,
                words=options.wants_words,
                careful=True,
            )
        )

    async def guess(self, samples: Samples, options: Options) -> Hypothesis | None:
        """A quick text, or None when every worker is busy: it would come too late.

        Raises:
            RuntimeError: When the model fails.
        """
        if len(self._decoding) >= self._workers:
            return None
        decoder = self._english if options.language == "en" else self.decoder
        _, hypothesis = await self._decode(lambda: decoder.decode(samples, options.language))
        return hypothesis

    def close(self) -> None:
        """Ends the threads, when what they run is done."""
        for pool in (self._decoders, self._judges, self._ears):
            pool.shutdown(wait=True, cancel_futures=True)

    async def _decode(self, decode: Callable[[], Hypothesis]) -> tuple[float, Hypothesis]:
        def timed() -> tuple[float, Hypothesis]:
            started = time.monotonic()
            return started, decode()

        # Counted until the thread is done, also when nobody waits for it any more.
        future = self._decoders.submit(copy_context().run, timed)
        self._decoding.add(future)
        future.add_done_callback(self._decoding.discard)
        return await asyncio.wrap_future(future)

    @staticmethod
    async def _on(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        # With the session that a line of the log names.
        run = copy_context().run
        return await asyncio.get_running_loop().run_in_executor(pool, run, work)
