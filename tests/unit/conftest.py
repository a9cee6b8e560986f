"""The option that writes a page of the reference anew."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the page of PyDAL's members goes."""
    parser.addoption(
        "--pydal-page", type=Path, metavar="FILE", help="write what each member of PyDAL does there"
    )
