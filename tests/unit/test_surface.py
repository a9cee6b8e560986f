"""docs/reference/pydal.md is what the members of PyDAL's classes say, and every public member is among them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.repository import ROOT
from support.surface import MEMBERS, page

PAGE = ROOT / "docs/reference/pydal.md"


def test_every_public_member_has_a_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "support.surface.found"],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=True,
    )
    found = {(of, name) for of, name in json.loads(done.stdout)}
    described = {(member.of, member.name) for member in MEMBERS}
    assert not sorted(found - described)
    assert len(found) > 300
    assert len(described) == len(MEMBERS), "a member has two lines"


def test_the_page_is_what_the_members_say(pytestconfig: pytest.Config) -> None:
    target: Path | None = pytestconfig.getoption("--pydal-page", default=None)
    if target is not None:
        target.write_text(page(MEMBERS), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(MEMBERS)
