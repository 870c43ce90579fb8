"""``stagewire talk``: a conversation with a running stack, from recordings or typed text."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path

from stagewire_cli import api, wav
from stagewire_cli.client import Client, JoinError, join
from stagewire_cli.conversation import ConnectionLostError, Conversation, Question
from stagewire_cli.microphone import HERTZ
from stagewire_cli.recorder import Recorder

OK, UNANSWERED, BAD_INPUT = 0, 1, 2
_URL = "http://127.0.0.1:8080"

_EPILOG = """\
examples:
  stagewire talk question.wav
  stagewire talk first.wav second.wav --out out --interrupt-after 1.5s
  stagewire talk --text "Who are you?" --text "And what can you do?"

--out DIR receives
  reply.wav        what was heard: the avatar's voice at its times, and silence between
  motion.jsonl     every motion message: turn, start_sample, end_sample, codec, payload (base64),
                   frames_per_second and frames: the face by name, such as jawOpen
  transcript.json  every turn: what was said, what was heard, why it ended, where the time went

status: 0 every question was answered, 1 one was not, 2 something given is wrong
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``talk``."""
    parser = subparsers.add_parser(
        "talk",
        help="talk to a running stack: recordings or typed text, in real time",
        description="Speaks recordings (any WAV) into a session as a microphone would, in real "
        "time, then types the texts; plays the answers, and says what was heard and when.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.wav", help="what to say")
    parser.add_argument(
        "--text", action="append", default=[], help="type this, after the files; may be repeated"
    )
    parser.add_argument("--avatar", default="", help="the avatar's id (the default: the server's)")
    parser.add_argument("--locale", default="", help="BCP 47 (the default: the avatar's)")
    parser.add_argument("--url", default=_URL, help=f"the orchestrator's HTTP port ({_URL})")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the conversation there")
    parser.add_argument(
        "--interrupt-after",
        type=_seconds,
        metavar="1.5s",
        help="ask the next question when so much of the answer has been heard",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Talks; returns the status."""
    try:
        questions = _questions(arguments.files, arguments.text)
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
    except (wav.WavError, ValueError) as error:
        return _failed(str(error), BAD_INPUT)
    except OSError as error:
        return _failed(f"--out {arguments.out}: {error.strerror or error}", BAD_INPUT)
    try:
        return asyncio.run(_talk(arguments, questions))
    except api.SessionError as error:
        return _failed(str(error), BAD_INPUT)
    except (JoinError, ConnectionLostError) as error:
        return _failed(str(error), UNANSWERED)


def _failed(message: str, status: int) -> int:
    print(f"stagewire talk: {message}", file=sys.stderr)
    return status


def _seconds(text: str) -> float:
    """Reads ``1.5s``, ``1500ms`` or ``1.5``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 1.5s or 300ms")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _questions(paths: list[Path], texts: list[str]) -> list[Question]:
    """What to say.

    Raises:
        WavError: When a file cannot be used.
        ValueError: When there is nothing to say.
    """
    if not paths and not texts:
        raise ValueError("give a recording to say (FILE.wav), or --text to type")
    if any(not text.strip() for text in texts):
        raise ValueError("--text is empty")
    said = [Question(path.name, samples=wav.read(path, HERTZ)) for path in paths]
    return said + [Question("text", text=text) for text in texts]


async def _talk(arguments: argparse.Namespace, questions: list[Question]) -> int:
    async with api.session(arguments.url, arguments.avatar, arguments.locale) as session:
        _say(f"session {session.session_id}, trace {session.trace_id or 'unknown'}")
        async with join(session.join_url, session.client_token, HERTZ) as client:
            if arguments.out is None:
                return await _converse(client, None, arguments, questions, session)
            with Recorder(arguments.out, client.joined) as recorder:
                return await _converse(client, recorder, arguments, questions, session)


async def _converse(
    client: Client,
    recorder: Recorder | None,
    arguments: argparse.Namespace,
    questions: list[Question],
    session: api.Session,
) -> int:
    conversation = Conversation(client, _say, recorder)
    try:
        await conversation.run(questions, arguments.interrupt_after)
        await client.leave()
    finally:
        transcript = {
            "session_id": session.session_id,
            "trace_id": session.trace_id,
            "underruns": conversation.speaker.underruns,
            "notices": conversation.transcript.notices,
            "turns": conversation.transcript.to_json(conversation.began, conversation.has_motion),
        }
        if recorder is not None:
            recorder.finish(conversation.speaker.heard, conversation.began, transcript)
            _say(f"written to {arguments.out}")
    return UNANSWERED if conversation.unanswered else OK


def _say(line: str) -> None:
    print(line, flush=True)
