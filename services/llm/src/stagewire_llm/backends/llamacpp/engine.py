"""One loaded model: llama.cpp's server in this process, and completions as asyncio streams.

Every completion runs in a thread of its own, where ``xllamacpp`` calls back for each token and
each stretch of prompt; what the callback returns decides whether it goes on.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_llm.backends.llamacpp.settings import LlamaCppSettings, Weights

logger = logging.getLogger(__name__)


class Completion:
    """A completion that runs. Made by :meth:`Engine.start`; for one event loop.

    Attributes:
        result: The last message of the completion (finish reason, timings), when it ended by
            itself; None before, or after a cancel.
        left: True when the model works on it no more.

    Args:
        on_left: Called in the loop when the model works on it no more, before readers hear of it.
    """

    def __init__(self, on_left: Callable[[], None]) -> None:
        """Nothing came yet."""
        self.result: Mapping[str, Any] | None = None
        self.left = False
        self._on_left = on_left
        self._loop = asyncio.get_running_loop()
        self._texts: list[str] = []
        self._error: StageError | None = None
        self._changed = asyncio.Event()
        # Written here, read in the model's thread.
        self._cancelled = False

    async def texts(self) -> AsyncIterator[str]:
        """Yields text as it comes; what waits is joined. Ends at the end, or at a cancel.

        Raises:
            StageError: CONTEXT_TOO_LONG or BACKEND_FAILED.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._texts:
                text = "".join(self._texts)
                self._texts.clear()
                yield text
            if self._error is not None:
                raise self._error
            if self.left or self._cancelled:
                return

    def cancel(self) -> None:
        """Stops it within a token or two stretches of prompt; releases who reads at once."""
        self._cancelled = True
        self._texts.clear()
        self._changed.set()

    def on_message(self, message: Mapping[str, Any]) -> bool:
        """The model's callback, in the model's thread; True stops generation."""
        if not self._cancelled:
            self._call_loop(self._take, message)
        return self._cancelled

    def on_end(self, failure: BaseException | None) -> None:
        """The model's thread leaves; called in that thread."""
        self._call_loop(self._finish, failure)

    def _call_loop(self, function: Any, argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:  # The loop is closed: nobody waits any more.
            self._cancelled = True

    def _take(self, message: Mapping[str, Any]) -> None:
        if self._cancelled:
            return
        if error := message.get("error"):
            self._error = _as_stage_error(error)
        elif choices := message.get("choices"):
            if text := choices[0].get("text"):
                self._texts.append(text)
            if choices[0].get("finish_reason"):
                self.result = message
        if self._texts or self._error:
            self._changed.set()

    def _finish(self, failure: BaseException | None) -> None:
        if self.result is None and self._error is None and not self._cancelled:
            what = type(failure).__name__ if failure else "no result"
            self._error = StageError(
                error_pb2.ERROR_REASON_BACKEND_FAILED, f"llama.cpp ended an answer with {what}"
            )
        self.left = True
        self._on_left()
        self._changed.set()


class Engine:
    """A loaded model.

    Args:
        weights: The model file.
        settings: Slots, context and threads.
    """

    def __init__(self, weights: Weights, settings: LlamaCppSettings) -> None:
        """Loads the model; takes seconds.

        Raises:
            SystemExit: When llama.cpp cannot load the file.
        """
        self._server = _load(weights, settings)
        self._threads = ThreadPoolExecutor(settings.slots, thread_name_prefix="llama")

    def start(
        self, slot: int, request: Mapping[str, Any], on_left: Callable[[], None]
    ) -> Completion:
        """Starts a completion in a slot that is free.

        Args:
            slot: The slot, from 0.
            request: Prompt and sampling, in the words of llama.cpp's ``/completion``.
            on_left: Called in the loop when the slot is free again.
        """
        completion = Completion(on_left)
        body = {
            **request,
            "id_slot": slot,
            "stream": True,
            "cache_prompt": True,
            # Calls back after each stretch of prompt, so that a cancel is noticed there too.
            "return_progress": True,
        }
        # With the session that a line of the log names.
        self._threads.submit(copy_context().run, self._run, body, completion)
        return completion

    def _run(self, body: Mapping[str, Any], completion: Completion) -> None:
        failure: BaseException | None = None
        try:
            self._server.handle_completions(body, completion.on_message)
        except Exception as error:
            # Its text may hold the prompt, so only its type is told.
            failure = error
            logger.error("llama.cpp raised %s", type(error).__name__)
        finally:
            completion.on_end(failure)

    def close(self) -> None:
        """Waits for what was cancelled, and frees the model. Blocks."""
        self._threads.shutdown(wait=True)
        self._server = None


def _load(weights: Weights, settings: LlamaCppSettings) -> Any:
    _limit_spinning(settings.spin_count)
    # Imported only now, because OpenMP reads its variables when the library is loaded.
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(weights.path)
    params.n_parallel = settings.slots
    params.n_ctx = settings.context_tokens * settings.slots
    params.n_batch = params.n_ubatch = settings.batch_tokens
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.batch_threads
    params.cache_ram_mib = settings.prompt_cache_mib
    # Weights are repacked for the CPU, so the file need not stay mapped beside them.
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    # Its log would hold prompts.
    params.verbosity = -1
    # The server also listens on a port of loopback, which nobody needs: this closes it.
    params.api_keys = [secrets.token_urlsafe(32)]
    params.ui = params.endpoint_slots = False
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise SystemExit(f"llama.cpp cannot load {weights.path}: {error}") from error


def _limit_spinning(spin_count: int) -> None:
    """Keeps threads that wait for each other from burning the cores that others need.

    Generation drops to a tenth when a spinning thread keeps the one that it waits for from running.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(spin_count)


def _as_stage_error(error: Mapping[str, Any]) -> StageError:
    if error.get("type") == "exceed_context_size_error":
        return StageError(
            error_pb2.ERROR_REASON_CONTEXT_TOO_LONG,
            f"messages (with tools) are {error.get('n_prompt_tokens')} tokens long; the context "
            f"has {error.get('n_ctx')}: send fewer or shorter messages",
        )
    return StageError(
        error_pb2.ERROR_REASON_BACKEND_FAILED, f"llama.cpp answered code {error.get('code')}"
    )
