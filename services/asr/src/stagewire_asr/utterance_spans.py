"""The spans of a session's utterances: made when it is known which answer they led to.

Asr hears all the time and knows no turns. What it did for an utterance (the words, from the audio
that ended it to the text) is kept until the orchestrator commits the utterance and says, with the
commit, under which answer its spans belong. Utterances that lead to none, a cough or a stream that
ends first, hang under the session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from stagekit import attributes as a
from stagekit.metrics import StageMetrics
from stagekit.tracing import SERVER, Attributes, Span
from stagewire.common.v1.trace_pb2 import TraceContext

from stagewire_asr.backend import Final
from stagewire_asr.reports import measured

_KEPT = 32
"""Utterances that wait for their commit at most; a user's turn has a few."""


class UtteranceSpans:
    """Of one stream.

    Args:
        session: The stream's span.
        backend: For the attribute.
        metrics: The stage's.
        clock: The backend's, in seconds.
    """

    def __init__(
        self, session: Span, backend: str, metrics: StageMetrics, clock: Callable[[], float]
    ) -> None:
        """Nothing was heard."""
        self._session, self._backend, self._clock = session, backend, clock
        self._metrics = metrics
        self._finals: deque[Final] = deque()

    def settled(self, final: Final) -> None:
        """The words of an utterance are there."""
        self._finals.append(final)
        if len(self._finals) > _KEPT:
            self._tell(self._finals.popleft(), None)

    def committed(self, utterance: int, trace: TraceContext) -> None:
        """The words up to ``utterance`` led to an answer."""
        while self._finals and self._finals[0].utterance <= utterance:
            self._tell(self._finals.popleft(), trace)

    def close(self) -> None:
        """No answer will come of what is left."""
        while self._finals:
            self._tell(self._finals.popleft(), None)

    def _tell(self, final: Final, trace: TraceContext | None) -> None:
        now, timing = self._clock(), final.timing
        about: Attributes = {a.UTTERANCE: final.utterance, a.BACKEND: self._backend}
        heard = self._session.child(
            "asr utterance", about, SERVER, under=trace, ago=now - timing.trigger
        )
        heard.content(a.CONTENT_USER, final.text)
        self._metrics.worked(heard, measured(timing, now))
        heard.child("asr decode", ago=now - timing.started).end(ago=now - timing.finished)
        heard.end(ago=now - timing.finished)
