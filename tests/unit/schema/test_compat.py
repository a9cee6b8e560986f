"""What `alembic_compat` uses of Alembic beyond its public face is still there, and importing registers nothing."""

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic import context, op
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.ddl.impl import DefaultImpl
from alembic.operations import BatchOperations, Operations, ops
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ringfence.schema import alembic_compat
from ringfence.schema.engines.mysql.ddl import AlteringImpl, ExtendingImpl
from ringfence.schema.engines.postgresql.ddl import EnumAwareImpl
from ringfence.schema.engines.sqlite.rebuild import RebuildingImpl
from ringfence.schema.models.conditional import ConditionalOp
from ringfence.schema.operations.operations import CreateEnumOp
from ringfence.schema.revisions import online

IMPORT_EVERYTHING = """
import gc, importlib, pkgutil, warnings
import alembic.command, alembic.config, alembic.context, alembic.op
import alembic.ddl.mysql, alembic.ddl.postgresql, alembic.ddl.sqlite
from alembic.autogenerate import renderers
from alembic.ddl import impl
from alembic.operations import Operations
from alembic.runtime import plugins

def state():
    return {
        "implementations": dict(impl._impls),
        "renderers": dict(renderers._registry),
        "operations": dict(Operations._to_impl._registry),
        "plugins": dict(plugins._all_plugins),
        "rendering of SQL": impl.DefaultImpl.render_ddl_sql_expr,
        # PyDAL, which is not this project's, adds a filter for its own deprecations.
        "warnings": [one for one in warnings.filters if not one[2].__module__.startswith("pydal.")],
        "collector": gc.isenabled(),
    }

before = state()
import ringfence.schema
for module in pkgutil.walk_packages(ringfence.schema.__path__, "ringfence.schema."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
after = state()
changed = [name for name in before if before[name] != after[name]]
assert not changed, changed

from ringfence.schema import alembic_compat
alembic_compat.install()
once = state()
unchanged = [name for name in list(before)[:5] if before[name] == once[name]]
assert not unchanged, unchanged
alembic_compat.install()
assert state() == once
"""


@pytest.fixture
def migration():
    alembic_compat.install()
    return MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True})


@pytest.fixture
def autogen(migration):
    return AutogenContext(
        migration,
        autogenerate=False,
        opts={"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op."},
    )


def test_importing_every_module_changes_nothing_in_alembic_and_a_call_does():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_extensions_declared_after_the_installation_are_registered_at_once():
    alembic_compat.install()
    called = []
    alembic_compat.on_install(lambda: called.append(1))
    alembic_compat.install()
    assert called == [1]


@pytest.mark.parametrize(
    ("dialect", "kind"),
    [
        ("postgresql", EnumAwareImpl),
        ("mysql", AlteringImpl),
        ("mariadb", ExtendingImpl),
        ("sqlite", RebuildingImpl),
    ],
)
def test_the_installed_implementation_of_each_dialect_is_used(dialect, kind):
    alembic_compat.install()
    assert isinstance(MigrationContext.configure(dialect_name=dialect).impl, kind)


def test_the_methods_that_implementations_override_exist():
    assert callable(DefaultImpl._exec)
    assert callable(DefaultImpl.render_ddl_sql_expr)


def test_renderers_and_operations_are_installed():
    alembic_compat.install()
    assert renderers.dispatch(ConditionalOp).__module__.startswith("ringfence.schema.")
    assert Operations._to_impl.dispatch(CreateEnumOp).__module__ == online.__name__


def test_the_parts_of_operations_are_rendered(autogen):
    column = sa.Column("name", sa.String(20), server_default="x", nullable=False)
    table = sa.Table("song", sa.MetaData(), column, sa.CheckConstraint("name <> ''", name="filled"))
    (check,) = (each for each in table.constraints if isinstance(each, sa.CheckConstraint))
    assert alembic_compat.render_type(column.type, autogen) == "sa.String(length=20)"
    assert alembic_compat.render_column(column, autogen).startswith("sa.Column('name', sa.String(length=20)")
    assert alembic_compat.render_check(check, autogen) == "sa.CheckConstraint(\"name <> ''\", name='filled')"
    assert "CheckConstraint" in str(alembic_compat.render_constraint(check, autogen))
    assert alembic_compat.render_server_default(column.server_default, autogen) == "'x'"
    created = alembic_compat.render_create_table(ops.CreateTableOp.from_table(table), autogen)
    assert created.startswith("op.create_table('song',")
    altered = ops.AlterColumnOp("song", "name", modify_nullable=True, existing_type=sa.String(20))
    assert alembic_compat.render_alter_column(altered, autogen).startswith("op.alter_column('song', 'name',")
    assert alembic_compat.render_operation(ops.DropColumnOp("song", "name"), autogen) == [
        "op.drop_column('song', 'name')"
    ]


def test_render_item_of_the_configuration_is_asked(migration):
    given = AutogenContext(
        migration, autogenerate=False, opts={"render_item": lambda kind, item, autogen: f"{kind} {item}"}
    )
    assert alembic_compat.user_rendering("type", "that", given) == "type that"
    none = AutogenContext(migration, autogenerate=False, opts={})
    assert alembic_compat.user_rendering("type", "that", none) is False


def test_the_downgrade_of_a_drop_is_what_was_set():
    table = sa.Table("song", sa.MetaData(), sa.Column("id", sa.Integer))
    drop = ops.DropTableOp("song")
    create = ops.CreateTableOp.from_table(table)
    alembic_compat.set_reverse(drop, create)
    reverse = drop.reverse()
    assert isinstance(reverse, ops.CreateTableOp)
    assert reverse.to_table().columns.keys() == ["id"]


def test_a_batch_is_made_and_not_executed(migration):
    batch = alembic_compat.batch_operations(migration, "song", "music")
    assert isinstance(batch, BatchOperations)
    assert (batch.impl.table_name, batch.impl.schema) == ("song", "music")


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "env.py").touch()
    return lambda **options: EnvironmentContext(Config(), ScriptDirectory(str(tmp_path)), **options)


def test_the_steps_of_the_command_are_found(environment):
    def steps(heads, migration):
        return []

    with environment(fn=steps):
        assert alembic_compat.command_steps() is steps
        context.configure(dialect_name="sqlite", fn=lambda heads, migration: iter(()))
        assert context.get_context().opts["fn"] is not steps


def test_steps_that_are_configured_replace_those_of_the_command(environment):
    asked = []

    def replaced(heads, migration):
        asked.append(heads)
        return iter(())

    engine = sa.create_engine("sqlite://")
    with environment(fn=lambda heads, migration: pytest.fail("not replaced")), engine.connect() as connection:
        context.configure(connection=connection, fn=replaced)
        with context.begin_transaction():
            context.run_migrations()
    assert asked == [()]
    engine.dispose()


def test_an_environment_uses_the_migration_context_it_is_given(environment, migration):
    with environment() as made:
        alembic_compat.use_migration_context(made, migration, lambda: migration)
        assert context.get_context() is migration
        assert made.get_context() is migration
        assert made._migration_context is migration


def test_a_nested_environment_leaves_the_outer_one_as_it_was(environment, migration):
    with environment(fn=None) as outer, Operations.context(migration) as operations:
        with alembic_compat.preserved_state(), environment() as inner, Operations.context(migration):
            assert context._proxy is inner
            assert op._proxy is not operations
        assert context._proxy is outer
        assert context.script is outer.script
        assert op._proxy is operations
        assert op.get_context() is migration


def test_the_table_of_versions_is_found():
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        table = alembic_compat.version_table(connection)
    engine.dispose()
    assert (table.name, list(table.columns.keys())) == ("alembic_version", ["version_num"])
