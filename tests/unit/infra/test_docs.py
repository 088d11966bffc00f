"""The documentation leads somewhere: links, and paths of this repository that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
NAMED = re.compile(r"`((?:benchmarks|client|config|docs|infra|schemas|services|tests)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_path_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = [name for name in LINK.findall(text) if not (page.parent / name).exists()]
    named = [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    assert linked + named == []
