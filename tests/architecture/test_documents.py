"""Documents that name things of the code name things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from artdag_common.commands import COMMANDS
from artdag_common.domain.aggregate import EVENTS
from artdag_common.eventstore import roles
from services.gateway import issuing, repeating
from services.gateway.projections import projector

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))


def test_every_event_is_explained() -> None:
    named = set(re.findall(r"`([A-Z]\w+)`", (DOCS / "events.md").read_text()))
    assert set(EVENTS) <= named, f"docs/events.md does not explain {sorted(set(EVENTS) - named)}"
    kinds = {n for n in named if re.match(r"(Run|Step|Recipe|Object|Token)[A-Z]", n)}
    assert kinds <= {*EVENTS, *COMMANDS}, "docs/events.md names an event that does not exist"


def test_of_every_table_it_is_said_what_it_grows_with() -> None:
    section = (DOCS / "operations.md").read_text().partition("## What grows")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)`", section))
    made = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", repeating.DDL + issuing.DDL + projector.POSITION)
    tables = {*roles.defined()[0], *projector.tables(), *made}
    assert tables - named == set(), "say what bounds it, in docs/operations.md"
    assert {name for name in named if "_" in name} - tables == set(), "these are gone"


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(p.name[:4]) for p in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda p: str(p.stem))
def test_a_decision_is_a_page_that_says_what_and_why(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert "**Question.**" in text
    assert "**Decision.**" in text
    assert len(text.split()) < 500, "at most a page"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda p: str(p.relative_to(DOCS)))
def test_files_that_a_document_names_exist(page: Path) -> None:
    """In backticks, with a folder: ``libs/artdag_common/cid.py``."""
    for path in re.findall(
        r"`((?:libs|services|proto|tests|docs|benchmarks|k8s|examples)/[\w./-]+)`", page.read_text()
    ):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
