"""The conversation's numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """In seconds unless said.

    Attributes:
        end_of_turn_probability: From here on asr's judgement ends the user's turn.
        silence_timeout: Silence that ends the user's turn whatever asr thinks of it.
        words_timeout: Silence that ends it although asr has not settled the words.
        speculate: Prepare answers before the user's turn is over.
        motion_wait: How long the first sound waits for its motion, and the end for the last, where
            motion_bridge asks for no other time.
        answer_timeout: How long a committed turn may stay silent, or a sounding one without news.
        playback_grace: How long after the last sound egress may take to confirm it.
        stop_timeout: How long egress may take to say how much of a cut turn was heard.
        engine_stop_timeout: The same where a motion engine plays: egress waits 2 s for its report.
        max_lead: Voice, beyond what was played, at which reading from tts pauses.
        join_timeout: How long a session waits for its first client.
        leave_grace: How long a session waits for a client that left.
    """

    end_of_turn_probability: float = 0.5
    silence_timeout: float = 2.0
    words_timeout: float = 6.0
    speculate: bool = True
    motion_wait: float = 0.25
    answer_timeout: float = 30.0
    playback_grace: float = 10.0
    stop_timeout: float = 1.0
    engine_stop_timeout: float = 3.0
    max_lead: float = 10.0
    join_timeout: float = 60.0
    leave_grace: float = 30.0
