"""Client channels with the project's limits."""

from __future__ import annotations

import grpc

MAX_MESSAGE_BYTES = 4 << 20

# Keepalive finds a dead peer in about 15 s; max_reconnect_backoff finds a restarted one in 1 s.
# min_reconnect_backoff is also how long one attempt to connect may take: a stage behind a slow
# network or proxy needs a few round trips.
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def connect(target: str) -> grpc.aio.Channel:
    """A plaintext channel to ``target``, such as ``127.0.0.1:50051`` or ``dns:///asr:50051``."""
    return grpc.aio.insecure_channel(target, options=_OPTIONS)
