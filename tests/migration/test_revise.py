"""Changes of the models: what autogenerate writes passes the lint, runs on rows, and leaves what the models say."""

import contextlib
import re
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from alembic import command

from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import Ambiguous, BadRename, Renames
from ringfence.schema.backfills.declared import load
from ringfence.schema.backfills.run import run
from ringfence.schema.engines import reach
from ringfence.schema.errors import BadDeployment, JobFailed, NullRowsRemain
from ringfence.schema.job.environment import AlembicRun
from ringfence.schema.job.job import migrate
from support.deployments import lay_out


@pytest.fixture
def shop(db, tmp_path):
    return lay_out(tmp_path, db)


@dataclass
class Change:
    """One change of the shop's models."""

    name: str
    old: str
    new: str
    writes: tuple[str, ...]
    """What stands in the names of the revisions that are written, in their order."""
    renames: tuple[str, ...] = ()
    fill: str = ""
    """What the backfill sets, where the models do not say."""


AMOUNT = "    amount: Mapped[int]\n"
ACTIVE = "    active: Mapped[bool] = mapped_column(default=True)\n"
SECRET = '    secret: Mapped[str | None] = mapped_column(sa.String(100), info={"sensitive": True})\n'
TOKEN = "    token: Mapped[str] = mapped_column(sa.String(100))\n"
EMAIL = "    email: Mapped[str] = mapped_column(sa.String(100), unique=True)\n"
CHANGES = (
    Change(
        "nullable", AMOUNT, AMOUNT + "    note: Mapped[str | None] = mapped_column(sa.String(20))\n", ("",)
    ),
    Change(
        "server_default",
        AMOUNT,
        AMOUNT + '    note: Mapped[str] = mapped_column(sa.String(20), server_default="none")\n',
        ("",),
    ),
    Change(
        "not_null_with_default",
        AMOUNT,
        AMOUNT + '    note: Mapped[str] = mapped_column(sa.String(20), default="none")\n',
        ("", "not_null"),
    ),
    Change(
        "not_null_without_default",
        AMOUNT,
        AMOUNT + "    size: Mapped[int]\n",
        ("", "not_null"),
        fill="7",
    ),
    Change("index", AMOUNT, "    amount: Mapped[int] = mapped_column(index=True)\n", ("",)),
    Change(
        "foreign_key",
        AMOUNT,
        AMOUNT
        + '    payer_id: Mapped[int | None] = mapped_column(sa.ForeignKey("customer.id"), index=True)\n',
        ("", "indexes", "validate"),
    ),
    Change("unique", SECRET, SECRET.replace("100)", "100), unique=True"), ("",)),
    Change(
        "enum",
        AMOUNT,
        AMOUNT + '    mood: Mapped[str | None] = mapped_column(sa.Enum("good", "bad", name="mood"))\n',
        ("",),
    ),
    Change("drop_nullable", SECRET, "", ("", "contract")),
    Change("drop_not_null", ACTIVE, "", ("", "contract")),
    Change(
        "rename",
        ACTIVE,
        ACTIVE.replace("active", "enabled"),
        ("", "not_null", "contract"),
        ("customer.active=enabled",),
    ),
    Change(
        "rename_to_not_null",
        SECRET,
        TOKEN,
        ("", "not_null", "contract"),
        ("customer.secret=token",),
        fill='"none"',
    ),
    Change("relax", AMOUNT, "    amount: Mapped[int | None]\n", ("",)),
    Change("tighten", SECRET, SECRET.replace("str | None", "str"), ("",), fill='"x"'),
    Change("widen", EMAIL, EMAIL.replace("100", "200"), ("",)),
    Change(
        "table",
        "class Purchase",
        "class Label(Base):\n"
        '    __tablename__ = "label"\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        '    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customer.id"), index=True)\n\n\n'
        "class Purchase",
        ("",),
    ),
    Change("drop_table", "class Purchase", "class Nothing", ("", "contract")),
)

ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      customer: rw
"""


def change(shop, *, old, new, name=""):
    text = (shop.root / "shop_models.py").read_text()
    assert old in text
    text = text[: text.index(old)] if name == "drop_table" else text.replace(old, new, 1)
    (shop.root / "shop_models.py").write_text(text)
    named = "secret:" in text
    shop.write("access.yaml", ACCESS.replace("rw", "{verbs: rw, also: [secret]}") if named else ACCESS)


def rows(shop):
    shop.database.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (1, 'a@b', 'one', '1'), (2, 'c@d', NULL, '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 5), (2, 1, 6)",
    )


@pytest.mark.engines("sqlite", "postgresql")
@pytest.mark.parametrize("one", CHANGES, ids=lambda one: one.name)
def test_a_change_becomes_revisions_that_pass_and_run(shop, one):
    prove(shop, [one])


def test_many_changes_at_once_on_every_engine(shop):
    """They meet in the same tables, and in the same revisions."""
    left_out = {"nullable", "server_default", "not_null_without_default", "rename", "drop_nullable", "unique"}
    left_out |= {"relax", "drop_table", "index", "table", "rename_to_not_null"}
    prove(shop, [one for one in CHANGES if one.name not in left_out])


def prove(shop, changes):
    """Write the revisions, lint them, run them up on rows, compare, and run them down."""
    go(shop, "upgrade", "head")
    rows(shop)
    for one in changes:
        change(shop, old=one.old, new=one.new, name=one.name)
    deployment = shop.load()
    told = [rename for one in changes for rename in one.renames]
    made = revise(deployment, "it changes", shop.database.env(), renames=Renames.from_options(told, ("all",)))
    texts = {path.name: path.read_text() for path in made.paths}
    if len(changes) == 1:
        endings = [re.search(r"it_changes_?(.*?)_?\.py$", name)[1] for name in texts]
        assert endings == [*changes[0].writes], texts
    assert not made.findings, texts

    for path in made.backfills:
        for one in changes:
            if one.fill:
                path.write_text(re.sub(r"\.\.\.(?=[)}])", one.fill, path.read_text()))
    for path, revision in zip(made.paths, made.revisions, strict=True):
        climb(shop, deployment, made, path, revision)
    go(shop, "check")
    leftovers(shop)
    # A column that was dropped has no values to come back with: the way back ends where it is made NOT NULL again.
    with contextlib.suppress(NullRowsRemain):
        for _ in made.revisions:
            go(shop, "downgrade", "-1")


def climb(shop, deployment, made, path, revision):
    """Go up to one revision; before rows must not hold NULL any more, run the backfills."""
    tightens = "tightens" in path.read_text()
    if tightens:
        with pytest.raises(NullRowsRemain, match="rows hold NULL"):
            go(shop, "upgrade", revision)
    if tightens or path == made.paths[-1]:
        for backfill in made.backfills:
            run(deployment, backfill.stem, shop.database.env())
    go(shop, "upgrade", revision)


def go(shop, verb, *arguments):
    """What `alembic VERB` does, in this process."""
    backend = reach(shop.settings())
    with (
        backend.locks.hold(patience=30, on_message=print) as held,
        AlembicRun(shop.load(), backend, held).current() as config,
    ):
        getattr(command, verb)(config, *arguments)


def leftovers(shop):
    """No helper's constraint and no invalid index is left."""
    backend = reach(shop.settings())
    with backend.engine().connect() as connection:
        inspector = sa.inspect(connection)
        for table in ("customer", *(["purchase"] if inspector.has_table("purchase") else [])):
            assert not [check for check in inspector.get_check_constraints(table) if check["name"]]


@pytest.mark.engines("sqlite")
def test_a_rename_is_asked_given_or_refused_and_never_guessed(shop):
    go(shop, "upgrade", "head")
    change(shop, old=ACTIVE, new=ACTIVE.replace("active", "enabled"))
    deployment, env = shop.load(), shop.database.env()
    versions = sorted(path.name for path in (shop.root / "migrations/versions").glob("*.py"))
    with pytest.raises(Ambiguous, match=r"--rename customer.active=enabled.*--retire customer.active"):
        revise(deployment, "x", env)
    done = shop.run("ringfence", "revision", "-m", "x")
    assert done.returncode == 1
    assert "customer loses active and gains enabled: was it renamed, or dropped?" in done.stderr
    for told, match in (
        (["customer.active=nowhere"], "gains no 'nowhere'"),
        (
            ["customer.nothing=enabled", "customer.active=enabled"],
            "no such rename or drop is needed.*customer.nothing",
        ),
        (["customer=client"], "a table cannot be renamed while services use it"),
        (["customer.active"], "cannot be read"),
    ):
        with pytest.raises(BadRename, match=match):
            revise(deployment, "x", env, renames=Renames.from_options(told, ()))
    assert versions == sorted(path.name for path in (shop.root / "migrations/versions").glob("*.py"))

    heard = []

    def ask(question, names):
        heard.append((question, names))

    made = revise(deployment, "asked", env, renames=Renames.from_options((), (), ask, lambda question: True))
    assert heard == [
        ("customer loses active and gains enabled. Was active renamed to one of these?", ("enabled",))
    ]
    assert "sa.column" not in next(iter(made.backfills)).read_text()  # it was said to be another column
    for path in (*made.paths, *made.backfills):
        path.unlink()
    made = revise(deployment, "told", env, renames=Renames.from_options(["customer.active=enabled"], ()))
    (copied,) = made.backfills
    assert "set={'enabled': sa.column('active')}" in copied.read_text()


@pytest.mark.engines("sqlite")
def test_a_rename_that_adds_not_null_names_what_is_missing(shop):
    change(shop, old=SECRET, new=TOKEN)
    done = shop.run(
        "ringfence", "revision", "-m", "x", "--rename", "customer.secret=token", DB_TYPE="", DATABASE_URL=""
    )
    assert done.returncode == 0, done.stderr
    assert (
        "secret may be NULL, and token refuses it: put what such rows get in the place of `...`"
        in " ".join(done.stdout.split())
    )
    with pytest.raises(
        BadDeployment, match=r"customer_token.py: does not define yet what customer.token becomes"
    ):
        load(shop.load(), "customer_token")
    path = shop.root / "migrations/backfills/customer_token.py"
    assert "sa.func.coalesce(sa.column('secret'), ...)" in path.read_text()
    path.write_text(path.read_text().replace("...)", "'none')"))
    assert load(shop.load(), "customer_token").set

    path.unlink()
    for written in (shop.root / "migrations/versions").glob("*_x*.py"):
        written.unlink()
    change(shop, old=TOKEN, new=TOKEN.replace("100)", "100), default='-'"))
    made = revise(
        shop.load(), "x", {"DB_TYPE": ""}, renames=Renames.from_options(["customer.secret=token"], ())
    )
    assert list(made.backfills.items()) == [(path, "")]
    assert "sa.func.coalesce(sa.column('secret'), '-')" in path.read_text()


@pytest.mark.engines("sqlite")
def test_a_mirror_waits_for_what_it_needs_and_not_for_what_is_taken_away(shop):
    go(shop, "upgrade", "head")
    change(shop, old=ACTIVE, new=ACTIVE.replace("active", "enabled"))
    made = revise(
        shop.load(), "x", shop.database.env(), renames=Renames.from_options(["customer.active=enabled"], ())
    )
    expand, *_, contract = made.revisions
    assert f'"revision": "{expand}"' in (shop.root / "mirrors/till.json").read_text()
    assert expand != contract


@pytest.mark.engines("postgresql")
def test_an_index_that_a_failed_build_left_invalid_is_built_again(shop):
    go(shop, "upgrade", "head")
    rows(shop)
    change(shop, old=AMOUNT, new="    amount: Mapped[int] = mapped_column(unique=True)\n")
    shop.database.execute("UPDATE purchase SET amount = 5")
    made = revise(shop.load(), "unique", shop.database.env())
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    with pytest.raises(JobFailed, match="could not create unique index"):
        go(shop, "upgrade", "head")
    assert shop.database.execute(invalid) == [(1,)]
    shop.database.execute("UPDATE purchase SET amount = id")
    go(shop, "upgrade", "head")
    assert shop.database.execute(invalid) == [(0,)]
    go(shop, "check")
    assert len(made.revisions) == 1


@pytest.mark.engines("sqlite")
def test_several_heads_are_found_and_explained(shop):
    text = (shop.root / "migrations/versions/b2.py").read_text()
    shop.write("migrations/versions/b3.py", '"""the other"""\n' + text.replace('"b2"', '"b3"'))
    told = (
        r"several heads, b2 \(b2.py: .*\), b3 \(b3.py: the other\); both go on from a1.*alembic merge heads"
    )
    with pytest.raises(BadDeployment, match=told):
        revise(shop.load(), "x", shop.database.env())
    with pytest.raises(BadDeployment, match=told):
        migrate(shop.load(), shop.env())
