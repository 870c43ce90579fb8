"""What the documentation says about the contract and the machine is what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from contract.wire import CODES
from google.protobuf.descriptor import Descriptor
from stagekit.errors import StageError
from stagewire.asr.v1 import asr_pb2
from stagewire.common.v1 import error_pb2
from stagewire.egress.v1 import egress_pb2
from stagewire.llm.v1 import llm_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2
from stagewire.tts.v1 import tts_pb2
from stagewire_motion_bridge.backends.spatius.errors import CLOSE_CODES, SDK_CODES, Meaning
from stagewire_orchestrator.turn import TRANSITIONS

ROOT = Path(__file__).parents[1]
CONTRACT = (ROOT / "docs" / "contract.md").read_text("utf-8")
MOTION = (ROOT / "docs" / "motion.md").read_text("utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text("utf-8")
MESSAGES = {
    "asr": (asr_pb2.TranscribeRequest, asr_pb2.TranscribeResponse),
    "llm": (llm_pb2.GenerateRequest, llm_pb2.GenerateResponse),
    "tts": (tts_pb2.SynthesizeRequest, tts_pb2.SynthesizeResponse),
    "motion_bridge": (motion_bridge_pb2.AnimateRequest, motion_bridge_pb2.AnimateResponse),
    "egress": (egress_pb2.DeliverRequest, egress_pb2.DeliverResponse),
}


def rows(text: str) -> list[list[str]]:
    """The cells of a page's tables, row by row."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("direction", [0, 1], ids=["request", "response"])
@pytest.mark.parametrize("stage", MESSAGES)
def test_every_message_and_field_of_a_stage_is_in_its_table(stage: str, direction: int) -> None:
    kind: Any = MESSAGES[stage][direction]
    chapter = re.split(r"^# ", CONTRACT.split(f"\n# {stage}\n")[1], flags=re.M)[0]
    table = chapter.split(f"(`{kind.DESCRIPTOR.name}`)")[1].split("**")[0].split("to caller (`")[0]
    written = {names(row[0])[0]: names(row[1]) for row in rows(table)}
    message: Descriptor = kind.DESCRIPTOR
    assert written == {
        arm.name: [field.name for field in arm.message_type.fields]
        for arm in message.oneofs_by_name["message"].fields
    }


def test_the_table_of_reasons_is_the_enum_and_its_codes() -> None:
    written = {
        names(row[0])[0]: row[1]
        for row in rows(CONTRACT.split("# Errors")[1].split("What fails *inside*")[0])
    }
    reasons = {
        name.removeprefix("ERROR_REASON_"): StageError(value, "").code.name
        for name, value in error_pb2.ErrorReason.items()
        if value
    }
    assert written == reasons
    assert {reason: reasons[reason] for reason in CODES} == CODES


def test_the_tables_of_motion_servers_errors_are_the_codes() -> None:
    chapter = MOTION.split("\n## Errors")[1].split("\n## ")[0]
    written = {}
    for line in chapter.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 4 and (reason := names(cells[-2])):
            for code in names(cells[0]) or [cells[0]]:
                written[code] = (reason[0], cells[-1])

    def told(row: Meaning) -> tuple[str, str]:
        error = row.error("")
        return error.reason_name, error.code.name

    known = {str(code): told(row) for code, row in CLOSE_CODES.items()}
    known |= {code.value: told(row) for code, row in SDK_CODES.items()}
    del known["connectionClosed"]
    assert {
        code: cell for code, cell in written.items() if not code.startswith(("other", "any"))
    } == known


def test_the_diagram_of_a_turn_is_the_machines_table() -> None:
    drawn = set(re.findall(r"^ +(\w+) --> (\w+): (\w+)$", DESIGN, flags=re.M))
    assert drawn == {
        (phase.value, following.value, signal.value)
        for phase, signals in TRANSITIONS.items()
        for signal, following in signals.items()
    }


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
