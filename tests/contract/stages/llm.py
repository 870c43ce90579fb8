"""What the suite knows about llm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from contract.stage import USER_TEXT, Refusal, Stage
from contract.wire import Call
from stagewire.llm.v1 import llm_pb2


def said(text: str, role: int = llm_pb2.ROLE_USER) -> llm_pb2.Message:
    """A message of the conversation, also with a wrong role."""
    return llm_pb2.Message(role=role, text=text)  # wrong values are the point


class Llm(Stage):
    """One call per turn: the conversation in, the answer out."""

    name = "llm"
    service = "stagewire.llm.v1.LlmService"
    method = "Generate"
    request = llm_pb2.GenerateRequest
    response = llm_pb2.GenerateResponse
    session_long = False
    settings: ClassVar[dict[str, str]] = {"STAGEWIRE_LLM_LLAMACPP_MODEL": "smollm2-135m"}

    def open(self, **changes: Any) -> Any:
        fields = {
            "session_id": self.new_session(),
            "turn": 1,
            "messages": [
                said("You are brief.", llm_pb2.ROLE_SYSTEM),
                said("What is the capital of Italy?"),
            ],
            "max_output_tokens": 6,
            "temperature": 0.0,
        }
        return self.request(open=llm_pb2.Open(**{**fields, **changes}))

    def long_answer(self) -> Any:
        """An ``open`` whose answer goes on for seconds."""
        story = said("Tell a very long story about a ship, in all detail.")
        return self.open(messages=[story], max_output_tokens=150)

    def refusals(self) -> list[Refusal]:
        tool = llm_pb2.Tool(name="look", description="looks", parameters_json="{}")

        def field(name: str, **changes: Any) -> Refusal:
            return Refusal(name, [self.open(**changes)], "INVALID_FIELD")

        return [
            field("turn_zero", turn=0),
            field("messages_none", messages=[]),
            field("role_unspecified", messages=[said(USER_TEXT, llm_pb2.ROLE_UNSPECIFIED)]),
            field("role_unknown", messages=[said(USER_TEXT, 77)]),
            field("max_output_negative", max_output_tokens=-1),
            field("temperature_negative", temperature=-0.5),
            field("temperature_3", temperature=3.0),
            field("temperature_nan", temperature=float("nan")),
            field("stop_9", stop=[str(n) for n in range(9)]),
            field("tools_65", tools=[tool] * 65),
            Refusal(
                "context",
                [self.open(messages=[said(USER_TEXT * 20_000)])],
                "CONTEXT_TOO_LONG",
            ),
        ]

    async def short_session(self, call: Call) -> None:
        await call.send(self.open())
        await call.half_close()
        messages = await call.rest()
        assert messages[0].WhichOneof("message") == "ready"
        assert messages[-1].WhichOneof("message") == "done"
        assert any(message.WhichOneof("message") == "delta" for message in messages)

    async def occupy(self, call: Call) -> None:
        await call.send(self.long_answer())
        assert (await call.receive()).WhichOneof("message") == "ready"

    def much(self) -> Iterator[Any]:
        result = {"tool_call_id": "none", "content": USER_TEXT * 30_000}
        return (self.request(tool_result=result) for _ in range(400))
