"""A session's timeline for a terminal: every turn as a waterfall of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

_LEAST_MILLISECONDS = 0.5
"""Shorter parts share one line."""
_NAME_WIDTH, _TIME_WIDTH = 20, 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def listing(sessions: list[dict[str, Any]]) -> str:
    """Recent sessions, one a line."""
    if not sessions:
        return "no session yet"
    lines = [f"{'session':<20}  {'began':<19}  {'lasted':>8}  turns  median  avatar"]
    for session in sessions:
        total = session["median_total"]
        lines.append(
            f"{session['session_id']:<20}  {_clock(session['start_time'])}  "
            f"{_length(session['duration']):>8}  {session['turns']:>5}  "
            f"{'-' if total is None else _seconds(total):>6}  {session['avatar_id']}"
            f"{'' if session['end_reason'] else ' (live)'}"
        )
    return "\n".join(lines)


def page(timeline: dict[str, Any], width: int, *, color: bool) -> str:
    """The whole session.

    Args:
        timeline: As the API tells it.
        width: Columns of the terminal.
        color: Whether it knows ANSI's colours.
    """
    session = timeline["session"]
    blocks = [
        f"session {session['session_id']} with {session['avatar_id']}, "
        f"{_clock(session['start_time'])}, {_length(session['duration'])}: "
        f"{session['end_reason'] or 'still going on'}\ntrace {session['trace_id']}"
    ]
    heard = [turn for turn in timeline["turns"] if turn["reason"] != "SUPERSEDED"]
    blocks += ["\n".join(_turn(turn, timeline, width, color)) for turn in heard]
    if superseded := len(timeline["turns"]) - len(heard):
        blocks.append(f"{superseded} prepared in vain: the user went on speaking")
    faults = [m for m in timeline["moments"] if m["kind"] == "fault" and not m["turn"]]
    blocks += [f"{m['at'] / 1000:.1f} s  {m['text']}" for m in faults]
    if timeline["dropped"]:
        blocks.append(f"{timeline['dropped']} older entries were forgotten for want of room")
    return "\n\n".join(blocks)


def _turn(turn: dict[str, Any], timeline: dict[str, Any], width: int, color: bool) -> Iterator[str]:
    total = turn["total"]
    waited = "" if total is None else f", {_seconds(total)} to the first sound"
    end = turn["reason"].lower() or "going on"
    yield _bold(f"turn {turn['turn']}: {end}{waited}", color)
    if turn["user"]:
        yield f'  user    "{turn["user"]}"'
    if turn["avatar"]:
        said, heard = turn["avatar"], turn["heard_characters"]
        yield f'  avatar  "{said}"'
        if turn["reason"] and heard < len(said):
            yield f'  heard   "{said[:heard]}"'
    if total is not None:
        yield from _waterfall(turn["parts"], total, width, color)
    for moment in timeline["moments"]:
        if moment["turn"] == turn["turn"] and moment["kind"] == "fault":
            yield f"  fault   {moment['text']}"


def _waterfall(parts: list[dict[str, Any]], total: float, width: int, color: bool) -> Iterator[str]:
    columns = max(10, width - _NAME_WIDTH - _TIME_WIDTH - 14)
    slowest = max(parts, key=lambda part: part["milliseconds"], default=None)
    start, small = 0.0, []
    for part in parts:
        milliseconds = part["milliseconds"]
        if milliseconds < _LEAST_MILLISECONDS:
            small.append(part["name"])
        else:
            bar = _bar(start, milliseconds, total, columns)
            mark = "  ◄ slowest" if part is slowest else ""
            line = f"  {part['name']:<{_NAME_WIDTH}}{bar:<{columns}}{milliseconds:7.0f} ms{mark}"
            yield _bold(line, color) if mark else line
        start += milliseconds
    if small:
        yield f"  under {_LEAST_MILLISECONDS:g} ms each: {', '.join(small)}"


def _bar(start: float, milliseconds: float, total: float, columns: int) -> str:
    """A bar that begins on a whole column and ends on an eighth of one."""
    scale = columns / max(total, 1e-9)
    begin = min(columns - 1, int(start * scale))
    eighths = max(1, round(8 * ((start + milliseconds) * scale - begin)))
    eighths = min(eighths, 8 * (columns - begin))
    return " " * begin + "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _bold(text: str, color: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if color else text


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s"


def _length(milliseconds: float) -> str:
    minutes, seconds = divmod(milliseconds / 1000, 60)
    return f"{minutes:.0f}m {seconds:02.0f}s" if minutes else f"{seconds:.1f} s"


def _clock(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")
