"""Identity columns whose options differ: both sides with all differing options, since Alembic writes only these."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ringfence.schema.comparison.snapshot import Facets

_OPTIONS: Mapping[str, str] = {
    "start": "start",
    "increment": "increment",
    "minimum": "minvalue",
    "maximum": "maxvalue",
    "cache": "cache",
    "cycle": "cycle",
}


def differing_identities(found: Facets, wanted: Facets) -> tuple[sa.Identity, sa.Identity] | None:
    """Return the identity that a column has in the database and the one that the models define.

    Args:
        found: the column's facets in the database.
        wanted: the column's facets in the reference.

    Returns:
        (found, wanted), each with its start value and the options that differ; None unless both are identities.
    """
    if found.get("identity") is None or wanted.get("identity") is None:
        return None
    sides = [json.loads(facets.get("sequence") or "{}") for facets in (found, wanted)]
    words = [word for word in _OPTIONS if word == "start" or sides[0].get(word) != sides[1].get(word)]
    was, will = (
        sa.Identity(
            always=facets["identity"] == "always",
            **{_OPTIONS[word]: _value(word, side[word]) for word in words if word in side},
        )
        for facets, side in zip((found, wanted), sides, strict=True)
    )
    return was, will


def needs_manual_change(found: Facets, wanted: Facets) -> bool:
    """Whether an identity replaces another default or the reverse, so that a person must carry the counter over.

    Args:
        found: the column's facets in the database.
        wanted: the column's facets in the reference.
    """
    comes_or_goes = (found.get("identity") is None) is not (wanted.get("identity") is None)
    return comes_or_goes and (found.get("default") is not None or wanted.get("default") is not None)


def _value(word: str, text: str) -> Any:
    return text.lower() == "true" if word == "cycle" else int(text)
