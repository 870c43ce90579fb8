"""One spoken question through the WebSocket, as any client asks it, and what came of it."""

from __future__ import annotations

from pathlib import Path

from stagewire_cli import api, wav
from stagewire_cli.client import JoinError, join
from stagewire_cli.conversation import ConnectionLostError, Conversation, Question
from stagewire_cli.microphone import HERTZ
from stagewire_cli.transcript import Turn


class CheckFailedError(Exception):
    """The stack does not answer as it should; the message says in what."""


async def ask(url: str, recording: Path) -> str:
    """Asks, hears the whole answer, and tells of it.

    Args:
        url: The orchestrator's HTTP address.
        recording: What to say.

    Returns:
        Lines for people: what was heard, what was answered, how long each part took.

    Raises:
        CheckFailedError: When there is no session, no answer, or an answer without words, voice
            or motion.
    """
    try:
        question = Question(recording.name, samples=wav.read(recording, HERTZ))
        async with (
            api.session(url) as session,
            join(session.join_url, session.client_token, HERTZ) as client,
        ):
            conversation = Conversation(client, lambda _line: None)
            await conversation.run([question], None)
            await client.leave()
    except (wav.WavError, api.SessionError, JoinError, ConnectionLostError) as error:
        raise CheckFailedError(str(error)) from error
    return _report(conversation)


def _report(conversation: Conversation) -> str:
    transcript = conversation.transcript
    turns = [turn for turn in transcript.turns.values() if turn.asked and turn.first_voice_at]
    if not turns:
        heard = f"heard {transcript.asking!r} and" if transcript.asking else "heard nothing and"
        raise CheckFailedError("; ".join([f"{heard} did not answer", *transcript.notices]))
    turn = turns[-1]
    if turn.first_motion_at is None:
        raise CheckFailedError("; ".join(["the answer has no motion", *transcript.notices]))
    lines = [
        "self-check passed",
        f"  heard     {turn.asked}",
        f"  answered  {turn.text}",
    ]
    return "\n".join(lines + _times(turn))


def _times(turn: Turn) -> list[str]:
    """Where the server says the time went: it knows best when speech ended."""
    if turn.latency is None:
        return ["  took      unknown: the server did not say"]
    total = turn.latency.total.ToNanoseconds() / 1e9
    parts = turn.latency_parts()
    width = max((len(name) for name, _ in parts), default=0)
    return [
        f"  took      {total:.2f} s from the end of speech to the first voice with motion:",
        *(f"            {name:<{width}}  {seconds:5.2f} s" for name, seconds in parts),
    ]
