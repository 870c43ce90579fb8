"""Every attribute that stagewire puts on spans and metrics, with its meaning.

Names of OpenTelemetry's semantic conventions come first; what they have no name for is
``stagewire.*``. Spans take no other key (``tracing.Span.set`` is typed so), docs/tracing.md lists
this file, and a test holds both against what real services export.

What people said, in any form, goes under the keys that are marked ``content``, and only where
``STAGEWIRE_TRACE_CONTENT`` is true: see ``tracing.Span.content``.
"""

from __future__ import annotations


class Attribute(str):
    """A key, and what it means.

    Attributes:
        meaning: One sentence; units and values.
        content: It holds what people said.
        template: The key is only a prefix; ``of`` makes whole keys.
    """

    meaning: str
    content: bool
    template: bool

    def __new__(
        cls, key: str, meaning: str, *, content: bool = False, template: bool = False
    ) -> Attribute:
        """Makes the key."""
        self = super().__new__(cls, key)
        self.meaning, self.content, self.template = meaning, content, template
        return self

    def of(self, name: str) -> Attribute:
        """The key of one name under a template."""
        if not self.template:
            raise ValueError(f"{self} is a whole key")
        return Attribute(f"{self}.{name}", self.meaning)


# --- OpenTelemetry's ---------------------------------------------------------------------------

SESSION_ID = Attribute("session.id", "The session; on every span.")
ERROR_TYPE = Attribute(
    "error.type",
    "Why a span failed: a reason of docs/contract.md, a turn's end without one (`failed`, "
    "`deadline`), or the kind of an unexpected error. On metrics: what was refused or reported.",
)
SERVER_ADDRESS = Attribute("server.address", "Host that a call goes to, as configured.")
SERVER_PORT = Attribute("server.port", "Its port.")
HTTP_METHOD = Attribute("http.request.method", "Of a request to a vendor.")
RPC_SYSTEM = Attribute("rpc.system.name", "`grpc`.")
RPC_METHOD = Attribute("rpc.method", "The contract's method, package and service included.")
RPC_STATUS = Attribute(
    "rpc.response.status_code", "The gRPC code of a call that failed: `UNAVAILABLE` …"
)
GEN_AI_OPERATION = Attribute("gen_ai.operation.name", "`chat`.")
GEN_AI_PROVIDER = Attribute("gen_ai.provider.name", "The llm's backend: `llamacpp`, `openai` …")
GEN_AI_REQUEST_MODEL = Attribute("gen_ai.request.model", "The model that is asked.")
GEN_AI_MAX_TOKENS = Attribute("gen_ai.request.max_tokens", "The most tokens that are wanted.")
GEN_AI_FINISH_REASONS = Attribute(
    "gen_ai.response.finish_reasons", "Why the model stopped: `stop`, `length`, `tool_calls` …"
)
GEN_AI_INPUT_TOKENS = Attribute("gen_ai.usage.input_tokens", "Tokens read.")
GEN_AI_CACHED_TOKENS = Attribute(
    "gen_ai.usage.cache_read.input_tokens", "Of these, tokens that a cache held."
)
GEN_AI_OUTPUT_TOKENS = Attribute("gen_ai.usage.output_tokens", "Tokens written.")
GEN_AI_INPUT_MESSAGES = Attribute(
    "gen_ai.input.messages", "The conversation as the model was given it, JSON.", content=True
)
GEN_AI_OUTPUT_MESSAGES = Attribute(
    "gen_ai.output.messages", "What the model answered, JSON.", content=True
)

# --- stagewire's -------------------------------------------------------------------------------

AVATAR = Attribute("stagewire.avatar.name", "The avatar of the session.")
STAGE = Attribute("stagewire.stage", "The stage that a call goes to, or that works.")
BACKEND = Attribute("stagewire.backend", "What the stage uses inside.")
ATTEMPT = Attribute("stagewire.attempt", "1 for a turn's first call of the stage, 2 for a retry …")
OUTCOME = Attribute(
    "stagewire.outcome",
    "`cancelled` where the work was no longer wanted: the caller cancelled, or is gone.",
)
TURN = Attribute("stagewire.turn.number", "The turn: 1, 2, 3 … in its session.")
TURN_END_REASON = Attribute(
    "stagewire.turn.end_reason",
    "`completed`, `interrupted`, `superseded`, `deadline`, `failed`; `session_ended` for what the "
    "session's end cut off.",
)
TURN_SPECULATIVE = Attribute(
    "stagewire.turn.speculative", "Whether it was begun before the user's turn was surely over."
)
TURN_PLAYED = Attribute("stagewire.turn.played", "Seconds of voice whose playback was confirmed.")
TURN_HEARD = Attribute("stagewire.turn.heard_characters", "Code points of the answer heard.")
TURN_CHARACTERS = Attribute("stagewire.turn.characters", "Code points of the answer.")
UTTERANCE = Attribute("stagewire.utterance", "The utterance of the asr stream: 1, 2, 3 …")
QUEUE_WAIT = Attribute(
    "stagewire.queue_wait", "Seconds from a stage's trigger to the start of its work."
)
FIRST_OUTPUT = Attribute(
    "stagewire.time_to_first_output", "Seconds from the start of a stage's work to its output."
)
AUDIO_SECONDS = Attribute("stagewire.audio", "Seconds of voice that were made or taken.")
CHARACTERS = Attribute("stagewire.characters", "Code points that were given to be spoken.")
BUSY = Attribute("stagewire.busy", "Seconds that a model worked for the span.")
EGRESS_TARGET = Attribute("stagewire.egress.target", "`web_socket` or `livekit`.")
MOTION_CODEC = Attribute("stagewire.motion.codec", "The codec of the session's motion.")
LATENCY_TOTAL = Attribute(
    "stagewire.latency.total",
    "Seconds from the user's last speech to the first sound with motion; as the session's events "
    "tell it.",
)
LATENCY_PART = Attribute(
    "stagewire.latency.part",
    "Seconds of one part of it (`stagewire.latency.part.NAME`); the parts sum to the total. On "
    "metrics: the part's name.",
    template=True,
)
CONTENT_USER = Attribute(
    "stagewire.content.user", "What the user said or typed, as recognized.", content=True
)
CONTENT_AVATAR = Attribute("stagewire.content.avatar", "What the avatar said.", content=True)

REGISTRY = tuple(value for value in list(globals().values()) if isinstance(value, Attribute))
"""All of them, in the order of this file."""
