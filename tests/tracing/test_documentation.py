"""docs/tracing.md lists the attributes that there are."""

from __future__ import annotations

import re
from pathlib import Path

from stagekit.attributes import REGISTRY, Attribute

PAGE = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text("utf-8")


def row(attribute: Attribute) -> str:
    """A line of the table; `pytest` prints what is missing, to be copied."""
    key = f"{attribute}.NAME" if attribute.template else attribute
    return f"| `{key}` | {attribute.meaning}{' *content*' if attribute.content else ''} |"


def test_the_table_of_attributes_is_the_registry() -> None:
    chapter = PAGE.split("\n## Attributes")[1].split("\n### ")[0]
    assert re.findall(r"^\| `.*$", chapter, flags=re.M) == [row(a) for a in REGISTRY]


def test_attributes_are_opentelemetrys_or_begin_with_stagewire() -> None:
    theirs = ("session.", "error.", "server.", "rpc.", "http.", "gen_ai.")
    for attribute in REGISTRY:
        assert attribute.startswith((*theirs, "stagewire.")), attribute
