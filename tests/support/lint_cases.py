"""Migrations to lint: a deployment of a few files in a folder, with one revision under test on top of others."""

import dataclasses
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ringfence.runtime.mirror import Column, Mirror, Table, Verb
from ringfence.schema.deployment import Deployment
from ringfence.schema.lint import Finding, lint
from ringfence.schema.manifest.model import Account
from ringfence.schema.models.types import ENGINES

MODELS = """
import sqlalchemy as sa
from ringfence.schema.models import NAMING
metadata = sa.MetaData(naming_convention=NAMING)
sa.Table("owner", metadata, sa.Column("id", sa.Integer, primary_key=True))
"""

ACCESS = """
version: 1
accounts:
  keeper:
    tables:
      owner: ro
"""

HEADER = """
import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, postgresql
from ringfence.schema import models
revision = {revision!r}
down_revision = {down!r}
"""

BASE = """
def upgrade():
    op.create_table(
        "owner",
        sa.Column("id", sa.Integer, primary_key=True),
    )
    op.create_table(
        "thing",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, server_default=""),
        sa.Column("note", sa.String(40)),
        sa.Column("size", sa.Integer),
        sa.Column("price", sa.Numeric(8, 2)),
        sa.Column("kind", sa.Enum("a", "b", name="kind")),
        sa.Column("owner_id", sa.Integer),
    )


def downgrade():
    op.drop_table("thing")
    op.drop_table("owner")
"""


@dataclass
class Bench:
    """A folder of migrations, and who uses the tables."""

    root: Path
    engines: tuple[str, ...] = ENGINES
    accounts: dict[str, Account] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with the revision that makes the tables."""
        (self.root / "migrations/versions").mkdir(parents=True)
        (self.root / "mirrors").mkdir()
        (self.root / "ringfence.toml").write_text(
            f'name = "bench"\nengines = {list(self.engines)}\nmodels = ["bench_models:metadata"]\n'
        )
        (self.root / "bench_models.py").write_text(MODELS)
        (self.root / "access.yaml").write_text(ACCESS)
        self.add(BASE)

    @property
    def deployment(self) -> Deployment:
        """The deployment, with the accounts that a test gave it."""
        loaded = Deployment.load(self.root)
        return dataclasses.replace(loaded, accounts=MappingProxyType(self.accounts))

    def add(self, text: str) -> Path:
        """Write the next revision; its name is r1, r2, …."""
        name = f"r{len(self.written) + 1}"
        header = HEADER.format(revision=name, down=self.written[-1] if self.written else None)
        path = self.root / "migrations/versions" / f"{name}.py"
        path.write_text(header.lstrip() + textwrap.dedent(text), encoding="utf-8")
        self.written.append(name)
        return path

    def upgrade(self, body: str, down: str = "op.execute('SELECT 1')") -> Path:
        """Write the next revision from what its upgrade does."""
        lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
        return self.add(f"\n\ndef upgrade():\n{lines}\n\n\ndef downgrade():\n    {down}\n")

    def lint(self, *revisions: str) -> tuple[Finding, ...]:
        """Lint the last revision, or those that are named."""
        return lint(self.deployment, revisions or self.written[-1:])

    def mirror(
        self, service: str, table: str, *columns: Column, verbs: tuple[str, ...] = ("select",)
    ) -> None:
        """Write a service's mirror of one table."""
        seen = Table(
            key=table,
            kind="table",
            schema=None,
            name=table,
            columns={column.name: column for column in columns},
            primary_key=(),
            constraints={},
            foreign_keys=(),
            verbs={verb: Verb() for verb in verbs},
        )
        mirror = Mirror("bench", service, service, "r1", self.engines, {table: seen})
        (self.root / "mirrors" / f"{service}.json").write_text(mirror.to_json(), encoding="utf-8")


def column(name: str, *, nullable: bool = True, write: bool = False, read: bool = True) -> Column:
    """A column of text, as a mirror has it."""
    return Column(name, name, "string", {"length": 40}, nullable, read, write, write)


def told(findings: tuple[Finding, ...]) -> dict[str, set[str]]:
    """rule -> the engines on which it found something."""
    found: dict[str, set[str]] = {}
    for finding in findings:
        found.setdefault(finding.rule, set()).update(finding.engines)
    return found
