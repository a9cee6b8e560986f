"""Everything that this project does to Alembic beyond its public face, and the registration of its own extensions.

Each function that uses a private name of Alembic says why. They were checked with Alembic 1.20.1, and a
test of the repository fails when a version changes one of them.

Extensions are declared where they are defined, by `renderer`, `implementation`, `ddl_implementation` and `on_install`.
A declaration changes nothing in Alembic: `install` registers all of them, and is called before Alembic is used (when a
server is reached, a revision is replayed, or `env.py` runs). So importing a module has no effect on other programs that
use Alembic in the same process.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from alembic import context, op
from alembic.autogenerate import render, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import BatchOperations, MigrateOperation, Operations, batch, ops
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy.types import TypeEngine

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)

_lock = threading.RLock()
_declared: list[Callable[[], object]] = []
_installed = False


# Extensions.


def install() -> None:
    """Register the declared extensions with Alembic, for the whole process; those declared later follow at once."""
    global _installed  # noqa: PLW0603 - Alembic's registries are global, so whether they were extended is, too
    with _lock:
        _installed = True
        while _declared:
            _declared.pop(0)()


def on_install(register: Callable[[], object]) -> None:
    """Have a function called by `install`, or at once where that was called already.

    Args:
        register: changes a registry of Alembic.
    """
    with _lock:
        if _installed:
            register()
        else:
            _declared.append(register)


def renderer(kind: type[MigrateOperation], *, replace: bool = False) -> Callable[[_Function], _Function]:
    """Declare the function that writes an operation as Python source.

    Args:
        kind: the class of the operation.
        replace: whether Alembic has a function for it, which is replaced.
    """

    def declare(function: _Function) -> _Function:
        on_install(lambda: renderers.dispatch_for(kind, replace=replace)(function))
        return function

    return declare


def implementation(kind: type[MigrateOperation]) -> Callable[[_Function], _Function]:
    """Declare the function that carries out an operation of this project.

    Args:
        kind: the class of the operation.
    """

    def declare(function: _Function) -> _Function:
        on_install(lambda: Operations.implementation_for(kind)(function))
        return function

    return declare


def ddl_implementation(dialect: str) -> Callable[[_Class], _Class]:
    """Declare a class that replaces Alembic's DDL implementation of a dialect.

    Alembic registers an implementation when a class is defined that has `__dialect__` in its body. Therefore `install`
    defines a subclass that has it.

    Args:
        dialect: SQLAlchemy's name of the dialect.
    """

    def declare(cls: _Class) -> _Class:
        body = {"__dialect__": dialect, "__module__": cls.__module__, "__doc__": cls.__doc__}
        on_install(lambda: type(cls)(cls.__name__, (cls,), body))
        return cls

    return declare


# Rendering. Alembic publishes the registry of renderers, and not the functions that its own renderers call for the
# parts of an operation; a renderer that changes one detail would otherwise repeat all of them.


def render_type(kind: TypeEngine[Any], autogen: AutogenContext) -> str:
    """Return a type as Python source, as Alembic writes it."""
    return render._repr_type(kind, autogen)  # noqa: SLF001 - see above


def render_column(column: sa.Column[Any], autogen: AutogenContext) -> str:
    """Return a column as Python source, as Alembic writes it."""
    return render._render_column(column, autogen)  # noqa: SLF001 - see above


def render_check(check: sa.CheckConstraint, autogen: AutogenContext) -> str | None:
    """Return a CHECK constraint as Python source; None for one that belongs to a type."""
    return render._render_check_constraint(check, autogen, None)  # noqa: SLF001 - see above


def render_constraint(constraint: sa.Constraint, autogen: AutogenContext) -> str | None:
    """Return a constraint inside CREATE TABLE as Python source; None where Alembic leaves it out."""
    return render._render_constraint(constraint, autogen, sa.MetaData())  # noqa: SLF001 - see above


def render_create_table(operation: ops.CreateTableOp, autogen: AutogenContext) -> str:
    """Return `op.create_table(…)`, as Alembic writes it."""
    return render._add_table(autogen, operation)  # noqa: SLF001 - see above


def render_alter_column(operation: ops.AlterColumnOp, autogen: AutogenContext) -> str:
    """Return `op.alter_column(…)`, as Alembic writes it."""
    return render._alter_column(autogen, operation)  # noqa: SLF001 - see above


def render_server_default(default: Any, autogen: AutogenContext) -> str | None:
    """Return a server default as Python source, as Alembic writes it."""
    return render._render_server_default(default, autogen)  # noqa: SLF001 - see above


def user_rendering(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Return what `render_item` of the configuration gives for an item; False where it leaves the item to Alembic."""
    return render._user_defined_render(kind, item, autogen)  # noqa: SLF001 - see above


def render_operation(operation: MigrateOperation, autogen: AutogenContext) -> list[str]:
    """Return the lines of an operation as Python source."""
    return render.render_op(autogen, operation)


# Operations.


def set_reverse(drop: ops.DropTableOp, create: ops.CreateTableOp) -> None:
    """Set the operation that the downgrade of a DROP TABLE carries out.

    Alembic's constructor takes it as a private argument only, and its `from_table` builds it from a table that has lost
    what this project adds.
    """
    drop._reverse = create  # noqa: SLF001 - see above


def batch_operations(migration: MigrationContext, table: str, schema: str | None) -> BatchOperations:
    """Return the operations of a batch on a table, which is not executed at its end.

    `op.batch_alter_table` is the only public way to make one, and it executes the batch.
    """
    impl = batch.BatchOperationsImpl(  # type: ignore[no-untyped-call]  # Alembic annotates no argument of it
        Operations(migration), table, schema, "auto", None, (), {}, (), {}, None, None
    )
    return BatchOperations(migration, impl=impl)


# Environment and migration context.


def command_steps() -> Callable[[Any, Any], Iterable[Any]]:
    """Return the function from which the current command takes its steps, to wrap it by `context.configure(fn=…)`.

    Alembic's commands hand it to the environment, whose options the module `alembic.context` does not publish.
    """
    steps: Callable[[Any, Any], Iterable[Any]] = context._proxy.context_opts["fn"]  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    return steps


def use_migration_context(
    environment: EnvironmentContext, migration: MigrationContext, get_context: Callable[[], MigrationContext]
) -> None:
    """Give an environment a migration context without a database.

    `EnvironmentContext.configure` makes one of its own, whose operations would be executed.

    Args:
        environment: the environment, which is changed.
        migration: the migration context.
        get_context: what `context.get_context()` calls.
    """
    vars(environment).update(_migration_context=migration, get_context=get_context)


@contextlib.contextmanager
def preserved_state() -> Iterator[None]:
    """Save and restore what the modules `alembic.context` and `alembic.op` stand for.

    An environment installs itself in these modules, and removes itself at its end without restoring the one before;
    a revision is recorded while another environment runs.
    """
    saved = [(vars(module), dict(vars(module))) for module in (context, op)]
    try:
        yield
    finally:
        for names, before in saved:
            names.update(before)


def version_table(connection: sa.Connection) -> sa.Table:
    """Return the table in which Alembic records the revision of a database.

    A plan prints its CREATE TABLE and the statements that write it before they are sent.
    """
    table: sa.Table = MigrationContext.configure(connection)._version  # noqa: SLF001 - see above
    return table
