"""``stagewire bench``: what a stack on this machine does, measured on recorded human speech."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from stagewire_cli import api, proxy, wav
from stagewire_cli import client as c
from stagewire_cli.client import join
from stagewire_cli.conversation import Conversation, Question
from stagewire_cli.microphone import HERTZ, first_speech, last_speech
from stagewire_cli.stack import STAGES, Ports, services, state_dir
from stagewire_cli.supervisor import Supervisor
from stagewire_cli.transcript import Turn

TURNS_PER_SESSION = 5
STORY = "Tell me a long story about a fisherman and the sea."
OTHER_SESSIONS = 4


@dataclass
class Results:
    """Everything measured; seconds, and samples where a name says so."""

    turns: list[Turn] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    underruns: int = 0
    unanswered: int = 0
    silenced: list[float] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    uncovered: list[int] = field(default_factory=list)
    memory: list[tuple[str, int, int, float]] = field(default_factory=list)


class _Observed(Conversation):
    """A conversation that notes where voice and motion of each turn begin and end, in samples."""

    def __init__(self, connection: c.Client) -> None:
        super().__init__(connection, _quiet)
        self.voice: dict[int, tuple[int, int]] = {}
        self.motion: dict[int, tuple[int, int]] = {}

    async def take(self, message: c.Message) -> None:
        match message:
            case c.Voice():
                end = message.start_sample + len(message.pcm) // 2
                self.voice[message.turn] = (self._start(self.voice, message), end)
            case c.Motion():
                end = message.end_sample
                self.motion[message.turn] = (self._start(self.motion, message), end)
        await super().take(message)

    @staticmethod
    def _start(seen: dict[int, tuple[int, int]], message: c.Voice | c.Motion) -> int:
        return seen.get(message.turn, (message.start_sample, 0))[0]

    def offsets(self) -> list[int]:
        """Samples from each turn's first voice to its first motion."""
        return [self.motion[turn][0] - self.voice[turn][0] for turn in self.motion]

    def uncovered(self) -> list[int]:
        """Samples of each completed turn's voice that no motion covers."""
        completed = [t.number for t in self.transcript.turns.values() if t.reason == "COMPLETED"]
        return [max(0, self.voice[n][1] - self.motion.get(n, (0, 0))[1]) for n in completed]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``bench``."""
    parser = subparsers.add_parser(
        "bench",
        help="measure latency, word errors, barge-in and memory on this machine",
        description="Starts a stack of its own and holds conversations with it in real time: "
        "recordings of people, whose words are known. Close other programs first.",
    )
    parser.add_argument(
        "--speech",
        type=Path,
        default=Path("tests/data/speech"),
        metavar="DIR",
        help="WAV files and their transcripts.json (tests/data/speech)",
    )
    parser.add_argument("--turns", type=int, default=20, help="spoken turns to measure (20)")
    parser.add_argument("--barge-ins", type=int, default=10, help="interruptions to measure (10)")
    parser.add_argument("--models", choices=["default", "small"], default="default")
    parser.add_argument(
        "--no-envoy", action="store_true", help="without the proxy that the demo has in front"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures; returns the status."""
    try:
        spoken = json.loads((arguments.speech / "transcripts.json").read_text())
        clips = [
            (Question(name, samples=wav.read(arguments.speech / name, HERTZ)), text)
            for name, text in spoken.items()
        ]
    except (OSError, ValueError, wav.WavError) as error:
        print(f"stagewire bench: --speech {arguments.speech}: {error}", file=sys.stderr)
        return 2
    results = asyncio.run(_measure(arguments, clips))
    print(report(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(_figures(results), indent=2) + "\n")
    return 1 if results.unanswered else 0


async def _measure(arguments: argparse.Namespace, clips: list[tuple[Question, str]]) -> Results:
    results = Results()
    ports = Ports.free()
    envoy = not arguments.no_envoy and bool(proxy.executable())
    stack = services(ports, models=arguments.models, envoy=envoy)
    if envoy:
        stack.insert(0, proxy.service(ports, state_dir() / "bench" / "envoy"))
    url = f"http://127.0.0.1:{ports.public if envoy else ports.orchestrator_http}"
    async with Supervisor(stack, state_dir() / "bench") as supervisor:
        idle = {stage: _rss(supervisor.pid(stage)) for stage in STAGES}
        wanted = list(islice(cycle(clips), arguments.turns))
        for start in range(0, len(wanted), TURNS_PER_SESSION):
            await _turns(url, wanted[start : start + TURNS_PER_SESSION], results)
        for clip, _ in islice(cycle(clips), arguments.barge_ins):
            await _barge_in(url, clip, results)
        await _memory(url, supervisor, idle, results)
    return results


async def _turns(url: str, asked: Sequence[tuple[Question, str]], results: Results) -> None:
    conversation = await _converse(url, [question for question, _ in asked], None)
    answers = [t for t in conversation.transcript.turns.values() if t.asked_at is not None]
    results.unanswered += conversation.unanswered
    results.underruns += conversation.speaker.underruns
    results.offsets += conversation.offsets()
    results.uncovered += conversation.uncovered()
    if conversation.unanswered:
        return  # which words belong to which turn is not certain then
    results.said += [text for _, text in asked]
    for turn in answers:
        answered = turn.answered_at(conversation.has_motion)
        if answered is not None and turn.asked_at is not None:
            results.turns.append(turn)
            results.answered.append(answered - turn.asked_at)


async def _barge_in(url: str, clip: Question, results: Results) -> None:
    """From the first sound of the user's speech to the avatar's silence at the client."""
    conversation = await _converse(url, [Question("story", text=STORY), clip], 1.5)
    assert clip.samples is not None
    spoke_for = (last_speech(clip.samples) - first_speech(clip.samples)) / HERTZ
    turns = conversation.transcript.turns
    story = next((t for t in turns.values() if t.reason == "INTERRUPTED"), None)
    answer = next(
        (t for t in turns.values() if t.asked_at and story and t.number > story.number), None
    )
    if story is None or answer is None or answer.asked_at is None:
        return
    sounded = [heard for heard in conversation.speaker.heard if heard.turn == story.number][-1]
    silent_at = sounded.began + len(sounded.pcm) / 2 / conversation.speaker.hertz
    results.silenced.append(silent_at - (answer.asked_at - spoke_for))


async def _memory(url: str, supervisor: Supervisor, idle: dict[str, int], results: Results) -> None:
    """Resident memory when ready, after the work above, and for each further session."""
    before = {stage: _rss(supervisor.pid(stage)) for stage in STAGES}
    async with AsyncExitStack() as open_sessions:
        for _ in range(OTHER_SESSIONS):
            session = await open_sessions.enter_async_context(api.session(url))
            client = await open_sessions.enter_async_context(
                join(session.join_url, session.client_token, HERTZ)
            )
            await _Observed(client).run([Question("text", text="Say hello.")], None)
        for stage in STAGES:
            grown = (_rss(supervisor.pid(stage)) - before[stage]) / OTHER_SESSIONS
            results.memory.append((stage, idle[stage], before[stage], grown))


async def _converse(
    url: str, questions: list[Question], interrupt_after: float | None
) -> _Observed:
    async with (
        api.session(url) as session,
        join(session.join_url, session.client_token, HERTZ) as client,
    ):
        conversation = _Observed(client)
        await conversation.run(questions, interrupt_after)
        return conversation


def _quiet(line: str) -> None:
    """Progress lines would be a page for every session."""


def _rss(pid: int) -> int:
    """Resident memory of a process, in KiB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0  # only Linux has it
    return int(re.findall(r"VmRSS:\s+(\d+)", status.read_text())[0])


# --- what is printed -----------------------------------------------------------------------------


def report(results: Results) -> str:
    """The figures as a page for people."""
    lines = [f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"]
    if results.answered:
        errors, words = word_errors([turn.asked for turn in results.turns], results.said)
        lines.append(
            f"heard: {words} words in {len(results.said)} turns, {errors / words:.1%} wrong"
        )
        lines.append(f"end of speech to first sound with motion, n={len(results.answered)}:")
        lines.append(_row("at the client", results.answered))
        for name, seconds in _parts(results.turns):
            lines.append(_row(f"  {name}", seconds))
    if results.silenced:
        lines.append(f"barge-in to silence at the client, n={len(results.silenced)}:")
        lines.append(_row("first sound of speech to silence", results.silenced))
    if results.offsets:
        lines.append(
            f"first motion after its voice: at most {max(map(abs, results.offsets))} samples; "
            f"voice without motion: at most {max(results.uncovered, default=0)} samples"
        )
    lines.append(
        f"loudspeaker ran dry: {results.underruns} times; unanswered: {results.unanswered}"
    )
    if any(row[1] for row in results.memory):
        lines.append("memory, MiB:           ready   worked   per further session")
        for stage, ready, worked, grown in results.memory:
            lines.append(
                f"  {stage:<18} {ready / 1024:8.0f} {worked / 1024:8.0f} {grown / 1024:8.1f}"
            )
    return "\n".join(lines)


def _parts(turns: Sequence[Turn]) -> Iterator[tuple[str, list[float]]]:
    """The server's parts, each over all turns; a part that a turn lacks took no time there."""
    names = dict.fromkeys(name for turn in turns for name, _ in turn.latency_parts())
    for name in names:
        yield name, [dict(turn.latency_parts()).get(name, 0.0) for turn in turns]


def _row(name: str, seconds: list[float]) -> str:
    return (
        f"  {name:<36} p50 {quantile(seconds, 0.5):6.3f} s   p95 {quantile(seconds, 0.95):6.3f} s"
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the others do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def word_errors(heard: Sequence[str], said: Sequence[str]) -> tuple[int, int]:
    """Word errors (substituted, missing, added) and the words that were said."""
    errors = sum(_distance(_words(h), _words(s)) for h, s in zip(heard, said, strict=True))
    return errors, sum(len(_words(s)) for s in said)


_DIGITS = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six"}
_DIGITS |= {"7": "seven", "8": "eight", "9": "nine", "10": "ten", "mr": "mister"}


def _words(text: str) -> list[str]:
    """Lower-case words, spelled as the transcripts spell them."""
    found = re.findall(r"[a-z']+|\d+", text.lower().replace("-", " "))
    return [_DIGITS.get(word, word) for word in found]


def _distance(one: list[str], other: list[str]) -> int:
    """Levenshtein distance of two lists of words."""
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, theirs in enumerate(other, 1):
            best = min(row[j] + 1, row[j - 1] + 1, diagonal + (word != theirs))
            diagonal, row[j] = row[j], best
    return row[-1]


def _figures(results: Results) -> dict[str, object]:
    return {
        "answered_seconds": results.answered,
        "parts": [dict(turn.latency_parts()) for turn in results.turns],
        "heard": [turn.asked for turn in results.turns],
        "said": results.said,
        "median_seconds": statistics.median(results.answered) if results.answered else None,
        "silenced_seconds": results.silenced,
        "underruns": results.underruns,
        "motion_offset_samples": results.offsets,
        "voice_without_motion_samples": results.uncovered,
        "memory_kib": results.memory,
    }
