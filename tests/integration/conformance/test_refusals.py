"""A column that could not make the round trip is refused when its mirror is made, with what to use instead."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment

EVERY = ("postgresql", "mysql", "mariadb", "galera", "sqlite")
FAMILY = ("mysql", "mariadb", "galera")
# the type as the models write it -> the engines that cannot keep it
REFUSED = {
    "sa.Time(timezone=True)": ("postgresql",),
    "sa.Interval()": (*FAMILY, "sqlite"),
    "sa.String()": FAMILY,
    "sa.ARRAY(sa.Integer)": (*FAMILY, "sqlite"),
    "sa.Enum('', 'a', name='e')": FAMILY,
    "postgresql.JSONB()": (*FAMILY, "sqlite"),
    "postgresql.INET()": (*FAMILY, "sqlite"),
    "postgresql.CITEXT()": (*FAMILY, "sqlite"),
    "postgresql.TSVECTOR()": EVERY,
    "mysql.LONGTEXT()": ("postgresql", "sqlite"),
    "mysql.YEAR()": ("postgresql", "sqlite"),
    "mysql.SET('a', 'b')": ("postgresql", "sqlite"),
    "sa.LargeBinary().with_variant(sa.Text(), 'sqlite')": ("sqlite",),
}


@pytest.fixture
def deployment(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    def lay_out(written: str) -> Path:
        name = f"refused_{abs(hash((written, str(tmp_path))))}"
        (tmp_path / f"{name}.py").write_text(
            textwrap.dedent(f"""
            import sqlalchemy as sa
            from sqlalchemy.dialects import mysql, postgresql
            from ringfence.schema.models import NAMING
            metadata = sa.MetaData(naming_convention=NAMING)
            sa.Table("cupboard", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("odd", {written}))
            """)
        )
        (tmp_path / "access.yaml").write_text(
            'version: 1\ndefaults: {login: "{service}"}\naccounts:\n  s:\n    tables: {all: rw}\n  d:\n    tables:\n'
            "      cupboard: {select: [id], insert: [id], delete: all}\n"
        )
        engines = ", ".join(f'"{engine}"' for engine in EVERY)
        (tmp_path / "ringfence.toml").write_text(
            f'name = "odd"\nengines = [{engines}]\nmodels = ["{name}:metadata"]\naccess = "access.yaml"\n'
            'migrations = "migrations"\nmirrors = "mirrors"\n'
        )
        return tmp_path

    return lay_out


@pytest.mark.parametrize("written", REFUSED)
def test_it_names_the_column_the_engines_and_a_resolution(
    deployment: Callable[[str], Path], written: str
) -> None:
    with pytest.raises(BadDeployment) as caught:
        Deployment.load(deployment(written))
    told = [mistake.message for mistake in caught.value.mistakes]
    assert all(message.startswith("'s' gets ") for message in told), told
    assert all(re.search(r" on cupboard\.odd \(refused_\d+\.py:6\): ", message) for message in told), told
    assert {mistake.line for mistake in caught.value.mistakes} == {5}
    named = {engine for message in told for engine in EVERY if re.search(rf"\b{engine}\b", message)}
    assert named == set(REFUSED[written]), told
    assert all(re.search(r"\b(use|say|name it)\b|Numeric\(p, s\)", message) for message in told), told
