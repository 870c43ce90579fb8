"""Tool calls in a stream of model text, as Qwen2.5 writes them.

The model was trained to write ``<tool_call>`` + JSON + ``</tool_call>``. Its small sizes leave the
tags out or put the JSON into a code fence as often as not, so an object that names a known tool is
a call wherever it stands. Text that may become a call is held back until that is decided.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

_OPENERS = ("<tool_call>", "<tools>", "```", "{")
_OPENER = re.compile(r"\s*(?:<tool_call>|<tools>|```|\{)")
_CLOSER = re.compile(r"\s*(?:</tool_call>|</tools>|```)")
_CLOSERS = ("</tool_call>", "</tools>", "```")
_TAGGED = re.compile(r"\s*<tool_call>")
_WRAPPER = re.compile(r"\s*(?:<tool_call>|<tools>|```(?:[a-z]*\n)?)?\s*")
_FENCE_LINE = re.compile(r"\s*```[a-z]*")
_NO_OBJECT = re.compile(r"[^{]|\{\s*[^\s\"}]")
_NAME_KEY = re.compile(r'"name"\s*:')

Piece = str | tuple[str, str]
"""Text of the answer, or a call: the tool's name and its arguments as JSON."""


class ToolCallParser:
    """Splits model text into answer text and calls. Whitespace around calls is dropped.

    Args:
        names: The tools that may be called.
    """

    def __init__(self, names: Collection[str]) -> None:
        """Nothing was read."""
        self._names = names
        self._held = ""
        self._after_call = False
        self._trim = False

    def feed(self, text: str) -> Iterator[Piece]:
        """Takes more text; yields what is decided."""
        self._held += text
        yield from self._split(last=False)

    def close(self) -> Iterator[Piece]:
        """Ends the text; yields the rest.

        Raises:
            StageError: BACKEND_FAILED when the text ends within a call, or a call is not JSON.
        """
        yield from self._split(last=True)

    def _split(self, last: bool) -> Iterator[Piece]:
        while self._held:
            if self._after_call and not self._drop_closer(last):
                return
            if self._trim:
                self._held = self._held.lstrip()
                self._trim = not self._held
            opener = _OPENER.search(self._held)
            if opener is None:
                yield from self._release(len(self._held.rstrip()) if last else self._safe_length())
                return
            yield from self._release(opener.start())
            piece = self._take_call(last)
            if piece is None:
                return
            yield piece

    def _release(self, length: int) -> Iterator[str]:
        text, self._held = self._held[:length], self._held[length:]
        if text:
            yield text

    def _safe_length(self) -> int:
        """How much of the held text cannot be the beginning of a call."""
        partial = max(
            (n for o in _OPENERS for n in range(1, len(o)) if self._held.endswith(o[:n])), default=0
        )
        return len(self._held[: len(self._held) - partial].rstrip())

    def _drop_closer(self, last: bool) -> bool:
        """Drops a closing tag after a call; False when more text must come to know."""
        if closer := _CLOSER.match(self._held):
            self._held = self._held[closer.end() :]
        else:
            rest = self._held.lstrip()
            if not last and any(closer.startswith(rest) for closer in _CLOSERS):
                return False
        self._after_call, self._trim = False, True
        return True

    def _take_call(self, last: bool) -> Piece | None:
        """The call at the head of the held text, or text that is none; None: wait for more."""
        wrapper = _WRAPPER.match(self._held)
        start = wrapper.end() if wrapper else 0
        try:
            value, end = json.JSONDecoder().raw_decode(self._held, start)
        except (ValueError, RecursionError):
            return self._undecodable(start, last)
        call = self._as_call(value)
        if call is None:
            text, self._held = self._held[:end], self._held[end:]
            return text
        self._held, self._after_call = self._held[end:], True
        return call

    def _undecodable(self, start: int, last: bool) -> str | None:
        tagged = _TAGGED.match(self._held)
        fence_line = _FENCE_LINE.fullmatch(self._held)
        if not tagged and not fence_line and _NO_OBJECT.match(self._held, start):
            length = start + 1
        elif not last:
            return None
        elif tagged or _NAME_KEY.search(self._held):
            raise StageError(
                error_pb2.ERROR_REASON_BACKEND_FAILED,
                "the model began a tool call that is not complete JSON; ask again",
            )
        else:
            length = len(self._held)
        text, self._held = self._held[:length], self._held[length:]
        return text

    def _as_call(self, value: object) -> tuple[str, str] | None:
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            return None
        arguments = value.get("arguments", {})
        tagged = _TAGGED.match(self._held) is not None
        if not isinstance(arguments, dict) or not (tagged or value["name"] in self._names):
            return None
        return value["name"], json.dumps(arguments, ensure_ascii=False)
