"""A conversation as files: reply.wav, motion.jsonl, transcript.json."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stagewire_motion_codec import NamedFrame, decode

from stagewire_cli import speaker, wav
from stagewire_cli.client import Joined, Motion


class Recorder:
    """Writes into a folder while the conversation runs.

    Args:
        folder: Exists; files of the same names are replaced.
        joined: The session's formats.
    """

    def __init__(self, folder: Path, joined: Joined) -> None:
        """Opens ``motion.jsonl``.

        Raises:
            OSError: When the folder cannot be written.
        """
        self._folder = folder
        self._joined = joined
        self._motion = (folder / "motion.jsonl").open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes ``motion.jsonl``."""
        self._motion.close()

    def motion(self, message: Motion) -> None:
        """A line of ``motion.jsonl``: the message as it came, and what can be read in it."""
        line: dict[str, Any] = {
            "turn": message.turn,
            "start_sample": message.start_sample,
            "end_sample": message.end_sample,
            "codec": self._joined.motion_codec,
            "payload": base64.b64encode(message.payload).decode(),
        }
        try:
            clip = decode(self._joined.motion_codec, message.payload)
            line |= {
                "frames_per_second": clip.frames_per_second,
                "frames": [_rounded(frame) for frame in clip.frames],
            }
        except ValueError as error:  # a recording keeps what came, also what nobody here can read
            line["problem"] = str(error)
        self._motion.write(json.dumps(line, separators=(",", ":")) + "\n")

    def finish(self, heard: list[speaker.Heard], began: float, transcript: dict[str, Any]) -> None:
        """Writes ``reply.wav``, what sounded at its times, and ``transcript.json``."""
        track = speaker.timeline(heard, began, self._joined.voice_hertz)
        wav.write(self._folder / "reply.wav", track, self._joined.voice_hertz)
        text = json.dumps(transcript, indent=2, ensure_ascii=False) + "\n"
        (self._folder / "transcript.json").write_text(text, encoding="utf-8")


def _rounded(frame: NamedFrame) -> NamedFrame:
    """Four decimals are finer than any codec here; the payload beside it is exact."""
    return {
        name: [round(v, 4) for v in value] if isinstance(value, list) else round(value, 4)
        for name, value in frame.items()
    }
