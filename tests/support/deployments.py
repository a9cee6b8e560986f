"""A small deployment, laid out in a folder for one test: models, manifest, migrations."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ringfence.runtime import Database as ServiceDatabase
from ringfence.runtime import Mirror, PoolOptions
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment
from ringfence.schema.job.job import MigrateOptions, Report, migrate
from ringfence.schema.mirror import write_mirrors
from servers.base import Database, clean_environment
from support import forked_commands

_MODULES = ("shop_models", "reflected")
_LOADING = threading.Lock()  # modules are forgotten and imported again for the whole process
TOML = """
name = "shop"
engines = ["postgresql", "mariadb", "galera", "mysql", "sqlite"]
models = ["shop_models:metadata"]
allow_weak = ["test"]
"""

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from ringfence.schema.models import BigKey, NAMING

metadata = sa.MetaData(naming_convention=NAMING)


class Base(DeclarativeBase):
    metadata = metadata


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(100), unique=True)
    secret: Mapped[str | None] = mapped_column(sa.String(100), info={"sensitive": True})
    active: Mapped[bool] = mapped_column(default=True)


class Purchase(Base):
    __tablename__ = "purchase"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customer.id", ondelete="CASCADE"))
    amount: Mapped[int]
"""

FIRST = """
revision = "a1"
down_revision = None
import sqlalchemy as sa
from alembic import op
from ringfence.schema.models import BigKey


def upgrade():
    op.create_table(
        "customer",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("email", sa.String(100), nullable=False),
        sa.Column("secret", sa.String(100)),
        sa.PrimaryKeyConstraint("id", name="pk_customer"),
        sa.UniqueConstraint("email", name="uq_customer_email"),
    )
    op.create_table(
        "purchase",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("customer_id", sa.Integer, nullable=False),
        sa.Column("amount", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name="fk_purchase_customer_id_customer", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_purchase"),
    )


def downgrade():
    op.drop_table("purchase")
    op.drop_table("customer")
"""

SECOND = """
revision = "b2"
down_revision = "a1"
import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("customer") as batch:
        batch.add_column(sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()))
    with op.batch_alter_table("customer") as batch:
        batch.alter_column("active", existing_type=sa.Boolean(), existing_nullable=False, server_default=None)


def downgrade():
    with op.batch_alter_table("customer") as batch:
        batch.drop_column("active")
"""

ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      customer: {verbs: rw, also: [secret]}
      purchase: rw
  report:
    tables:
      customer: {select: [id, active]}
      purchase: ro
  door:
    tables:
      purchase: [insert]
"""

ENVIRONMENT = """
from ringfence.schema.job.environment import run

run()
"""

TEMPLATE = '''"""${message}"""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
from alembic import op
import sqlalchemy as sa
${imports if imports else ""}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''


@dataclass
class Shop:
    """The deployment on disk, and the database it is for."""

    root: Path
    database: Database

    def write(self, path: str, text: str) -> None:
        """Write a file of the deployment; PREFIX becomes the prefix of this database's logins."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip().replace("PREFIX", self.database.prefix))

    def load(self) -> Deployment:
        """The deployment as its files are now, models included."""
        with _LOADING:
            for name in [name for name in sys.modules if name.partition(".")[0] in _MODULES]:
                del sys.modules[name]
            return Deployment.load(self.root)

    def login(self, service: str) -> str:
        """The login of a service."""
        return f"{self.database.prefix}{service}"

    def password(self, service: str) -> str:
        """The password the job gives a service, with characters that need care."""
        return f"p'a\\s%s;\"{service}-8kQ2zW5v"

    def env(self, **more: str) -> dict[str, str]:
        """The environment of the job: the admin's login, and every account's password."""
        try:
            accounts = self.load().accounts.values()
        except BadDeployment:  # a test of that: the job will not come to ask for passwords
            accounts = ()
        secrets = {account.variable: self.password(account.service) for account in accounts}
        return self.database.env() | {"DB_MAX_RETRIES": "0", "DB_READY_TIMEOUT": "30"} | secrets | more

    def migrate(self, env: Mapping[str, str] | None = None, **options: Any) -> Report:
        """Run the job in this process, without the lint, which has tests of its own; mirrors are written first."""
        options.setdefault("no_lint", "a test of something else")
        deployment = self.load()
        write_mirrors(deployment)
        calls = {name: options.pop(name) for name in ("on_message", "on_plan") if name in options}
        return migrate(deployment, self.env() if env is None else env, MigrateOptions(**options), **calls)

    def passwords(self) -> dict[str, Secret]:
        """login -> password, as the job was told them."""
        return {a.login: Secret(self.password(a.service)) for a in self.load().accounts.values()}

    def settings(self) -> Settings:
        """Where the database is."""
        return Settings.from_env(self.database.env())

    def connect(self, service: str) -> Any:
        """A raw connection of a service's account."""
        return self.database.connect(self.login(service), self.password(service))

    @contextlib.contextmanager
    def statements(self, service: str) -> Iterator[Any]:
        """A function that runs SQL on a raw connection of a service's account, and returns rows or their number."""
        connection = self.connect(service)

        def run(sql: str) -> Any:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else cursor.rowcount

        try:
            yield run
        finally:
            connection.close()

    def mirror(self, service: str) -> Mirror:
        """The mirror of a service, which `migrate` has written."""
        return Mirror.load(self.root / "mirrors" / f"{service}.json")

    def relation(self, service: str, table: str, verb: str = "select") -> str:
        """The table, or the view before it, that a verb of a service uses on this engine.

        On SQLite the runtime puts a temporary view of the rows in scope before the table; writes name the table itself.
        """
        engine = self.database.server.engine
        if engine == "sqlite" and verb != "select":
            return f"main.{table}"
        relations = self.mirror(service).tables[table].verbs[verb].relations
        return str(relations.get(engine, table))

    def open(self, service: str, size: int = 3, **env: str) -> ServiceDatabase:
        """The runtime's database of a service, with a pool of this size."""
        given = self.database.env(self.login(service), self.password(service)) | {"DB_MAX_RETRIES": "0"} | env
        return ServiceDatabase(Settings.from_env(given), self.mirror(service), PoolOptions(size=size))

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `ringfence …` or `alembic …` in the deployment's folder, as a person would."""
        environment = clean_environment() | self.env() | more | {"PATH": os.environ["PATH"]}
        return forked_commands.run(command, self.root, environment)


AnyShop = TypeVar("AnyShop", bound=Shop)


def lay_out(root: Path, database: Database) -> Shop:
    """Write the deployment into a folder."""
    return _lay_out(Shop(root, database))


def _lay_out(shop: AnyShop) -> AnyShop:
    shop.write("ringfence.toml", TOML)
    shop.write("shop_models.py", MODELS)
    shop.write("access.yaml", ACCESS)
    shop.write("migrations/env.py", ENVIRONMENT)
    shop.write("migrations/script.py.mako", TEMPLATE)
    shop.write("migrations/versions/a1.py", FIRST)
    shop.write("migrations/versions/b2.py", SECOND)
    shop.write(
        "alembic.ini",
        "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = %(here)s\npath_separator = os\n",
    )
    return shop


def lay_out_one(root: Path, database: Database, toml: str, models: str, grants: str) -> Shop:
    """Write a deployment without migrations, whose one account has these grants, as `thing: rw`."""
    shop = lay_out(root, database)
    for name in ("a1", "b2"):
        (shop.root / f"migrations/versions/{name}.py").unlink()
    shop.write("ringfence.toml", toml)
    shop.write("shop_models.py", models)
    shop.write("access.yaml", f"version: 1\naccounts:\n  PREFIXtill:\n    tables:\n      {grants}\n")
    return shop


CREATED = """
revision = "a1"
down_revision = None
from alembic import op


def upgrade():
    from shop_models import metadata

    metadata.create_all(op.get_bind())


def downgrade():
    from shop_models import metadata

    metadata.drop_all(op.get_bind())
"""


def lay_out_created(root: Path, database: Database, models: str, access: str) -> Shop:
    """Write a deployment whose one revision creates all tables of the models."""
    return write_created(Shop(root, database), models, access)


def write_created(shop: AnyShop, models: str, access: str) -> AnyShop:
    """Write the files of a deployment whose one revision creates all tables of the models."""
    _lay_out(shop)
    (shop.root / "migrations/versions/b2.py").unlink()
    shop.write("shop_models.py", models)
    shop.write("migrations/versions/a1.py", CREATED)
    shop.write("access.yaml", access)
    return shop
