"""Holds what a recipe gives with stock PyDAL against what it gives with Ringfence, the compiled path on and off."""

import pickle
from collections.abc import Callable
from typing import Any

Recipe = Callable[[Any], Any]
Sides = list[tuple[str, Any]]


def plain(value: Any) -> Any:
    """Rows and rows as plain data, so that those of both sides compare."""
    if hasattr(value, "as_list"):
        return [plain(row) for row in value]
    if hasattr(value, "as_dict"):
        return {name: plain(item) for name, item in value.as_dict().items()}
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def results(side: Any, recipe: Recipe) -> Any:
    """What a recipe gives on one side, its changes undone; an error is told by its kind."""
    with side.session() as dal:
        try:
            found = plain(recipe(dal))
        except Exception as error:  # both sides must raise, whatever it is
            found = f"raised {'an error' if not isinstance(error, AssertionError) else error}"
        dal.rollback()
    return found


def alike(sides: Sides, recipes: dict[str, Recipe], *, may_raise: bool = False) -> None:
    """Hold each recipe against all sides."""
    differing = {}
    for name, recipe in recipes.items():
        found = {}
        for kind, side in sides:
            side.dal._adapter.compiled = kind != "plain"
            found[kind] = results(side, recipe)
        raised = str(found["stock"]).startswith("raised")
        if found["compiled"] != found["stock"] or found["plain"] != found["stock"] or raised != may_raise:
            differing[name] = found
    assert not differing


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301  # made one line before
