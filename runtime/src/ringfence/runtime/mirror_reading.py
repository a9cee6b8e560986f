"""Reads a mirror's JSON, and says of what is wrong where it stands."""

from collections.abc import Callable, Sequence
from typing import Any

from ringfence.runtime.errors import BadMirror
from ringfence.runtime.mirror_parts import (
    CONSTRAINT_KINDS,
    DEFAULT_KINDS,
    FORMAT,
    TYPES,
    VERBS,
    Column,
    Constraint,
    Default,
    ForeignKey,
    Table,
    Verb,
)


class Reader:
    """Reads with the place in hand, so that an error can say where it is."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, place: str, what: str) -> BadMirror:
        return BadMirror(f"{self.source}: {place or 'top'}: {what}; make it again with `ringfence mirror`")

    def object(
        self, value: Any, place: str, required: Sequence[str], optional: Sequence[str] = ()
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(place, "must be an object")
        if missing := [key for key in required if key not in value]:
            raise self.fail(place, f"lacks {', '.join(missing)}")
        if unknown := sorted(set(value) - set(required) - set(optional)):
            raise self.fail(place, f"has keys this runtime does not know: {', '.join(unknown)}")
        return value

    def strings(self, value: Any, place: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(place, "must be a list of strings")
        return tuple(value)

    def named(self, value: Any, place: str, read: Callable[[str, Any, str], Any]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(place, "must be an object")
        return {name: read(name, item, f"{place}.{name}") for name, item in value.items()}

    def mirror(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail("", "must be an object")
        if value.get("format") != FORMAT:
            raise self.fail("format", f"is {value.get('format')!r}, and this runtime reads {FORMAT}")
        required = ("format", "deployment", "service", "login", "revision", "engines", "tables")
        top = self.object(value, "", required, ("scopes",))
        return {
            "deployment": top["deployment"],
            "service": top["service"],
            "login": top["login"],
            "revision": top["revision"],
            "engines": self.strings(top["engines"], "engines"),
            "tables": self.named(top["tables"], "tables", self.table),
            "scopes": dict(top.get("scopes", {})),
        }

    def table(self, key: str, value: Any, place: str) -> Table:
        required = ("schema", "name", "columns", "primary_key", "verbs")
        given = self.object(value, place, required, ("kind", "constraints", "foreign_keys"))
        return Table(
            key=key,
            kind=given.get("kind", "table"),
            schema=given["schema"],
            name=given["name"],
            columns=self.named(given["columns"], f"{place}.columns", self.column),
            primary_key=self.strings(given["primary_key"], f"{place}.primary_key"),
            constraints=self.named(given.get("constraints", {}), f"{place}.constraints", self.constraint),
            foreign_keys=tuple(
                self.foreign_key(item, f"{place}.foreign_keys[{index}]")
                for index, item in enumerate(given.get("foreign_keys", []))
            ),
            verbs=self.named(given["verbs"], f"{place}.verbs", self.verb),
        )

    def column(self, name: str, value: Any, place: str) -> Column:
        required = ("type", "nullable", "selectable", "insertable", "updatable")
        given = self.object(
            value, place, required, ("field", "params", "autoincrement", "default", "on_update")
        )
        params = given.get("params", {})
        if given["type"] not in TYPES:
            raise self.fail(place, f"has a type this runtime does not know: {given['type']!r}")
        if unknown := sorted(set(params) - TYPES[given["type"]]):
            raise self.fail(place, f"has parameters that {given['type']} does not take: {', '.join(unknown)}")
        return Column(
            name=name,
            field=given.get("field", name),
            type=given["type"],
            params=params,
            nullable=given["nullable"],
            selectable=given["selectable"],
            insertable=given["insertable"],
            updatable=given["updatable"],
            autoincrement=given.get("autoincrement", False),
            default=self.default(given.get("default"), f"{place}.default"),
            on_update=self.default(given.get("on_update"), f"{place}.on_update"),
        )

    def default(self, value: Any, place: str) -> Default | None:
        if value is None:
            return None
        given = self.object(value, place, ("kind",), ("value",))
        if given["kind"] not in DEFAULT_KINDS:
            raise self.fail(place, f"has a kind this runtime does not know: {given['kind']!r}")
        if given["kind"] == "sequence":
            self.object(given.get("value"), f"{place}.value", ("name",), ("schema",))
        return Default(given["kind"], given.get("value"))

    def constraint(self, name: str, value: Any, place: str) -> Constraint:
        given = self.object(value, place, ("kind", "columns"))
        if given["kind"] not in CONSTRAINT_KINDS:
            raise self.fail(place, f"has a kind this runtime does not know: {given['kind']!r}")
        return Constraint(given["kind"], self.strings(given["columns"], f"{place}.columns"))

    def foreign_key(self, value: Any, place: str) -> ForeignKey:
        given = self.object(
            value, place, ("columns", "schema", "table", "references"), ("on_delete", "on_update")
        )
        return ForeignKey(
            columns=self.strings(given["columns"], f"{place}.columns"),
            schema=given["schema"],
            table=given["table"],
            references=self.strings(given["references"], f"{place}.references"),
            on_delete=given.get("on_delete"),
            on_update=given.get("on_update"),
        )

    def verb(self, name: str, value: Any, place: str) -> Verb:
        if name not in VERBS:
            raise self.fail(place, f"is no verb; the verbs are {', '.join(VERBS)}")
        given = self.object(value, place, (), ("scope", "relations", "binds"))
        scope, binds = given.get("scope"), self.strings(given.get("binds", []), f"{place}.binds")
        return Verb(None if scope is None else tuple(scope), given.get("relations", {}), binds)
