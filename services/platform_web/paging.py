"""Pages by key: none overlaps or skips, however many rows come and go between two requests."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from flask import request
from pydantic import Field

from platform_web.inputs import Input, QueryInt

MAX_LIMIT = 200


class PageInput(Input):
    """The parameters of a list: how many items are on a page."""

    limit: Annotated[QueryInt, Field(ge=1, le=MAX_LIMIT)] = 50


def page(rows: Sequence[Mapping[str, object]], limit: int, cursor: str, **kept: object) -> dict[str, object]:
    """A page of at most `limit` items out of up to `limit + 1` rows, each with an `id`.

    Args:
        rows: the page's items, and one more when there is a next page.
        limit: the most items on a page.
        cursor: the parameter that says behind which key a page begins.
        kept: the other parameters of the query, to be repeated in the next page's address; None is left out.
    """
    items = list(rows[:limit])
    following = None
    if len(rows) > limit:
        query = {name: _plain(value) for name, value in kept.items() if value is not None}
        following = f"{request.path}?{urlencode({**query, 'limit': limit, cursor: items[-1]['id']})}"
    return {"items": items, "next": following}


def _plain(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
