"""Moves objects that the models name with a schema into the scratch schemas of PostgreSQL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.schema.comparison.snapshot import Models
from ringfence.schema.comparison.statements import catalog_name, statements
from ringfence.schema.models.enums import native_enums

_WORD = r"(?:[^\W\d][\w$]*|\"(?:[^\"]|\"\")+\")"
_PATH = re.compile(rf"({_WORD})(\s*\.\s*)({_WORD})")
# Quoted texts, comments and bodies of functions are skipped, except for the name of a sequence in a text.
_PART = re.compile(
    rf"""
      (?P<before> \b(?:nextval|currval)\s*\(\s* )? '(?P<named> {_WORD}\.{_WORD} )' (?P<after> \s*::\s*regclass )?
    | [eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | --[^\n]* | /\*.*?\*/
    | (?P<path> {_WORD} (?:\s*\.\s*{_WORD})+ )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ModelObjects:
    """The objects that the models create, with their schemas.

    Args:
        objects: schema and name of each table, view, sequence, type, function or index.
    """

    objects: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, models: Models, connection: sa.Connection, default: str) -> "ModelObjects":
        """Collect the objects of the models.

        Args:
            models: the tables and metadata.
            connection: a connection of the admin account, on which conditions of DDL (`execute_if`) are evaluated.
            default: the schema of objects that are named without one.
        """
        found: set[tuple[str | None, str]] = set()
        for table in models.tables.values():
            found.add((table.schema, str(table.name)))
            found |= {
                (kind.schema, str(kind.name))
                for column in table.columns
                for kind in native_enums(column.type)
            }
        for metadata in models.metadata:
            found |= {(view.schema, str(view.name)) for view in metadata.tables.values() if view.is_view}
        found |= {(sequence.schema, str(sequence.name)) for sequence in models.sequences}
        for statement in statements(models, connection):
            found |= {(made.schema, made.name) for made in statement.makes(lowers=True)}
        return cls(frozenset((schema or default, name) for schema, name in found))

    @property
    def schemas(self) -> set[str]:
        """The schemas of the objects."""
        return {schema for schema, _ in self.objects}

    def moved(self, statement: str, schemas: Mapping[str, str]) -> str:
        """Return a statement with the schemas of these objects replaced.

        Args:
            statement: the statement as the models have it.
            schemas: schema in the statement -> schema to replace it with.
        """

        def path(text: str) -> str:
            return _PATH.sub(lambda found: self._moved(found, schemas), text, count=1)

        def part(found: re.Match[str]) -> str:
            if found["path"]:
                return path(found["path"])
            if found["named"] and (found["before"] or found["after"]):
                return f"{found['before'] or ''}'{path(found['named'])}'{found['after'] or ''}"
            return found[0]

        return _PART.sub(part, statement)

    def _moved(self, found: re.Match[str], schemas: Mapping[str, str]) -> str:
        schema, name = (catalog_name(word, lowers=True) for word in (found[1], found[3]))
        if (schema, name) not in self.objects or schema not in schemas:
            return found[0]
        return f"{schemas[schema]}{found[2]}{found[3]}"
