"""What a backend is: one pass of a model over a conversation, as a stream of events.

A backend is stateless between calls, as the contract is. The service checks requests, runs the
tool loop (a pass, the tools' results, another pass) and speaks gRPC; a backend only answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from stagewire.llm.v1 import llm_pb2


@dataclass(frozen=True)
class Request:
    """One pass.

    Attributes:
        session_id: A hint for caching, nothing else.
        messages: The conversation; the last one is to be answered. Already checked.
        tools: What the model may call; a backend without the feature leaves them aside.
        max_output_tokens: Upper bound of this pass, at least 1.
        temperature: 0 to 2; None: the backend's default.
        stop: Texts before which generation stops.
        seed: Fixes sampling; None: random.
    """

    session_id: str
    messages: Sequence[llm_pb2.Message]
    tools: Sequence[llm_pb2.Tool] = ()
    max_output_tokens: int = 256
    temperature: float | None = None
    stop: Sequence[str] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Started:
    """The first event: waiting (for a slot, a connection) is over and work begins."""


@dataclass(frozen=True)
class Text:
    """More of the answer; not empty."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model calls a tool."""

    call: llm_pb2.ToolCall


@dataclass(frozen=True)
class Finished:
    """The last event: why the pass ended, and what it took."""

    reason: llm_pb2.FinishReason.ValueType
    usage: llm_pb2.Usage


Event = Started | Text | Call | Finished


@dataclass(frozen=True)
class Warmed:
    """What a warm call did; both in tokens."""

    evaluated: int
    cached: int


@dataclass(frozen=True)
class BackendInfo:
    """What a backend is.

    Attributes:
        model: The model that answers, for ``Ready`` and ``Describe``.
        context_tokens: Tokens of context of one answer; 0 when unknown.
        features: Announced abilities: "tools", "warm", "seed".
        max_answers: Answers that it can make at the same time; None: any number.
    """

    model: str
    context_tokens: int
    features: Sequence[str] = ()
    max_answers: int | None = None


class Backend(Protocol):
    """A language model. Errors are :class:`stagekit.errors.StageError`."""

    info: BackendInfo

    def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Answers: ``Started``, then ``Text`` and ``Call`` events, then ``Finished``.

        Closing the generator (or cancelling its consumer) stops generation within one token and
        returns at once, without waiting for the model to notice.

        Raises:
            StageError: CONTEXT_TOO_LONG, BACKEND_FAILED, BACKEND_UNAUTHENTICATED or STAGE_FULL.
        """
        ...

    async def warm(
        self,
        session_id: str,
        messages: Sequence[llm_pb2.Message],
        tools: Sequence[llm_pb2.Tool],
        last_message_open: bool,
    ) -> Warmed | None:
        """Fills the prompt cache for a ``generate`` that will begin with these messages.

        Returns:
            What was done, or None when nothing was (no such feature, or an answer has priority).

        Raises:
            StageError: CONTEXT_TOO_LONG or BACKEND_FAILED.
        """
        ...

    async def close(self) -> None:
        """Stops what runs and releases the model."""
        ...
