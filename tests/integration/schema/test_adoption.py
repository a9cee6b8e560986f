"""`--adopt` lists what accounts really lose, keep and gain: by logging in before and after."""

import contextlib
import random

import pytest
import sqlalchemy as sa

from ringfence.schema.engines.postgresql import effective_rights
from ringfence.schema.privileges.service import apply_access, plan_access
from support.deployments import lay_out

pytestmark = [pytest.mark.requires("accounts"), pytest.mark.newer]

PASSWORD = "their-old-one-4711"
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  direct:
    tables: {purchase: ro}
  nested:
    tables: {purchase: ro, customer: {select: [id, email]}}
  setter:
    tables: {purchase: [select, delete]}
  public:
    tables: {customer: ro}
  columns:
    tables: {customer: {select: [id, active]}, purchase: rw}
  newcomer:
    tables: {purchase: [insert]}
"""
COLUMNS = {"customer": ("id", "email", "secret", "active"), "purchase": ("id", "customer_id", "amount")}
TRIES = {
    "select": "SELECT {column} FROM {table} WHERE 1 = 0",
    "insert": "INSERT INTO {table} ({column}) SELECT {value} FROM {dual} WHERE 1 = 0",
    "update": "UPDATE {table} SET {column} = {value} WHERE 1 = 0",
    "delete": "DELETE FROM {table} WHERE 1 = 0",
}


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    yield shop
    if db.server.engine in ("mariadb", "galera"):  # where a role is no user, which a database takes along
        for name in ("readers", "all-readers", "writers"):
            db.execute(f"DROP ROLE IF EXISTS '{db.prefix}{name}'")


def quoted(shop, name):
    return f'"{shop.database.prefix}{name}"' if postgresql(shop) else f"'{shop.database.prefix}{name}'@'%'"


def postgresql(shop):
    return shop.database.server.db_type == "postgresql"


def sent_by(function):
    """The statements that SQLAlchemy sends during a call."""
    sent = []

    def hear(connection, cursor, statement, parameters, context, executemany):
        sent.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        function()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)
    return sent


def may(shop, login, password, roles):
    """(table, verb) -> the columns that a login reaches; with each role that it can switch on, and with none.

    A verb that names every row at once: that an UPDATE may name no column in a WHERE is part of a verb's own right.
    """
    found = {}
    for role in (None, *roles):
        connection = shop.database.connect(login, password)
        cursor = connection.cursor()
        if role is not None:
            try:
                cursor.execute(f"SET ROLE {role}")
            except Exception:
                connection.close()
                continue
        for table, columns in COLUMNS.items():
            for verb, sql in TRIES.items():
                for column in columns:
                    value = {"email": "'x'", "secret": "'x'", "active": "true"}.get(column, "1")
                    dual = "(SELECT 1) one" if postgresql(shop) else "DUAL"
                    where = f"{shop.database.name}.{table}" if not postgresql(shop) else table
                    try:
                        cursor.execute(sql.format(table=where, column=column, value=value, dual=dual))
                    except Exception as error:
                        if refused(error):
                            continue
                    found.setdefault((table, verb), set()).add(column)
        connection.close()
    return found


def refused(error):
    """Whether a right was refused; MariaDB misses a value without a default where the right is there (1364)."""
    code = str(getattr(error, "pgcode", None) or error.args[0])
    if code not in ("42501", "1142", "1143", "1044", "1364"):
        raise error
    return code != "1364"


def listed(shop, plan):
    """(service, table, verb) -> (change, columns before, columns after), of the tables of the shop."""
    return {
        (line.login.removeprefix(shop.database.prefix), line.table, line.verb): (
            line.change,
            named(line.table, line.columns_before),
            named(line.table, line.columns_after),
        )
        for line in plan.adoption.lines
        if line.table in COLUMNS and line.verb in TRIES
    }


def named(table, columns):
    if columns is None:
        return frozenset()
    return frozenset(COLUMNS[table] if columns == "all" else columns)


def build(shop):
    """Accounts of somebody else's, who came to their rights in every way that the engine has."""
    q = lambda name: quoted(shop, name)  # noqa: E731 - short, and used on every line
    logins = ("direct", "nested", "setter", "public", "columns", "newcomer")
    if postgresql(shop):
        shop.database.execute(
            f'GRANT CONNECT, TEMPORARY ON DATABASE "{shop.database.name}" TO PUBLIC',
            *(f"CREATE ROLE {q(name)} LOGIN PASSWORD '{PASSWORD}'" for name in logins),
            *(f"CREATE ROLE {q(name)}" for name in ("readers", "all-readers", "writers")),
            f"GRANT SELECT, UPDATE, TRUNCATE ON purchase TO {q('direct')}",
            f"GRANT SELECT ON purchase, customer TO {q('readers')}",
            f"GRANT {q('readers')} TO {q('all-readers')}",
            f"GRANT {q('all-readers')} TO {q('nested')}",
            f"ALTER ROLE {q('setter')} NOINHERIT",
            f"GRANT INSERT, DELETE ON purchase TO {q('writers')}",
            f"GRANT {q('writers')} TO {q('setter')}" + (noinherit(shop)),
            "GRANT SELECT (id, email, active), UPDATE (active) ON customer TO PUBLIC",
            f"GRANT SELECT (id, secret) ON customer TO {q('columns')}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON purchase TO {q('columns')}",
        )
        return ("writers", "readers", "all-readers")
    mysql = shop.database.server.engine == "mysql"
    roles = {name: f"'{shop.database.prefix}{name}'" for name in ("readers", "all-readers", "writers")}
    escaped = shop.database.name.replace("_", "\\_")
    wider = shop.database.name[:-1].replace("_", "\\_") + "%"
    default = "SET DEFAULT ROLE {role} TO {user}" if mysql else "SET DEFAULT ROLE {role} FOR {user}"
    shop.database.execute(
        *(f"CREATE USER {q(name)} IDENTIFIED BY '{PASSWORD}'" for name in logins),
        *(f"CREATE ROLE {role}" for role in roles.values()),
        f"GRANT SELECT, UPDATE, DROP ON purchase TO {q('direct')}",
        f"GRANT SELECT ON `{escaped}`.* TO {roles['readers']}",
        f"GRANT {roles['readers']} TO {roles['all-readers']}",
        f"GRANT {roles['all-readers']} TO {q('nested')}",
        default.format(role=roles["all-readers"], user=q("nested")),
        f"GRANT INSERT, DELETE ON purchase TO {roles['writers']}",
        f"GRANT {roles['writers']} TO {q('setter')}",
        f"GRANT REFERENCES ON purchase TO {q('setter')}",  # so that it may name the database without a role
        # Of two patterns that match one counts.
        f"GRANT INSERT ON `{wider}`.* TO {q('public')}",
        f"GRANT SELECT ON `{escaped}`.* TO {q('public')}",
        f"GRANT SELECT (id, secret) ON customer TO {q('columns')}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON purchase TO {q('columns')}",
        f"GRANT SELECT ON *.* TO {q('newcomer')}",
    )
    return tuple(roles)


def noinherit(shop):
    newer = shop.database.execute("SELECT current_setting('server_version_num')::int >= 160000")[0][0]
    return " WITH INHERIT FALSE" if newer else ""


def test_the_list_is_what_logging_in_shows_before_and_after(shop):
    roles = build(shop)
    quote = '"' if postgresql(shop) else "'"
    roles = [f"{quote}{shop.database.prefix}{role}{quote}" for role in roles]
    services = ("direct", "nested", "setter", "public", "columns", "newcomer")
    shop.write("access.yaml", (shop.root / "access.yaml").read_text() + ACCESS.split("accounts:\n")[1])
    before = {s: may(shop, shop.login(s), PASSWORD, roles) for s in services}
    plan = plan_access(shop.load(), shop.env(), adopt=True)
    assert set(plan.adopted) == {shop.login(s) for s in services}
    lines = listed(shop, plan)
    for service in services:
        for table in COLUMNS:
            for verb in TRIES:
                _, had, _ = lines.get((service, table, verb), ("", frozenset(), frozenset()))
                assert had == before[service].get((table, verb), set()), (service, table, verb)
    seen = []
    apply_access(shop.load(), shop.env(), adopt=True, on_plan=lambda made: seen.append(made.adoption))
    assert [line.as_dict() for line in seen[0].lines] == [line.as_dict() for line in plan.adoption.lines]
    reach(shop, services, lines, before, roles)


def reach(shop, services, lines, before, roles):
    """What is said of afterwards, on servers where the accounts' own tables are what they are granted."""
    for service in services:
        has = may(shop, shop.login(service), shop.password(service), roles)
        for table in COLUMNS:
            for verb in TRIES:
                change, had, gets = lines.get((service, table, verb), ("", frozenset(), frozenset()))
                now = has.get((table, verb), set())
                # Where a view stands before the table, nothing is granted on the table itself.
                routed = not postgresql(shop) and gets and not now
                assert routed or gets == now, (service, table, verb)
                could = bool(before[service].get((table, verb)))
                if not routed:
                    assert (change == "lost") == (could and not now), (service, table, verb)
                assert (change == "kept") == (bool(gets) and had == gets), (service, table, verb)
                assert (change == "gained") == (bool(gets) and not could), (service, table, verb)


WAYS = 14
"""Accounts of the test below, each with ways to its rights that are drawn."""


@pytest.mark.parametrize("seed", [1, 2])
def test_rights_that_were_come_by_in_any_way_are_those_that_logging_in_shows(shop, seed):
    chance = random.Random(seed)  # noqa: S311 - no secret
    names = [f"w{number}" for number in range(WAYS)]
    text = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", text + "".join(f"  {name}:\n    tables: {{purchase: ro}}\n" for name in names))
    roles = ("readers", "all-readers", "writers")
    written = {
        role: f'"{shop.login(role)}"' if postgresql(shop) else f"'{shop.login(role)}'" for role in roles
    }
    word = "WITH LOGIN PASSWORD" if postgresql(shop) else "IDENTIFIED BY"
    sent = [f"CREATE USER {quoted(shop, name)} {word} '{PASSWORD}'" for name in names]
    sent += [f"CREATE ROLE {role}" for role in written.values()]
    sent += draw_grants(shop, chance, [*(quoted(shop, name) for name in names), *written.values()])
    sent.append(f"GRANT {written['readers']} TO {written['all-readers']}")
    for name in names:
        sent += draw_roles(shop, chance, quoted(shop, name), list(written.values()))
    if postgresql(shop):
        sent += [
            f'GRANT CONNECT ON DATABASE "{shop.database.name}" TO PUBLIC',
            "GRANT UPDATE (amount) ON purchase TO PUBLIC",
        ]
    else:  # so that it may name the database when no role is on
        sent += [f"GRANT REFERENCES ON purchase TO {quoted(shop, name)}" for name in names]
    with lasting(shop, written["writers"]):
        shop.database.execute(*sent)
        lines = listed(shop, plan_access(shop.load(), shop.database.env(), adopt=True))
        for name in names:
            could = may(shop, shop.login(name), PASSWORD, ["NONE", *written.values()])
            for table in COLUMNS:
                for verb in TRIES:
                    _, had, _ = lines.get((name, table, verb), ("", frozenset(), frozenset()))
                    assert had == could.get((table, verb), set()), (name, table, verb, sent)


def draw_grants(shop, chance, grantees):
    """Grants on tables, columns, and on the MySQL family on databases by patterns, to each at random."""
    escaped = shop.database.name.replace("_", "\\_")
    patterns = [f"`{escaped}`.*", f"`{escaped[:-2]}%`.*", f"`{shop.database.name[:6]}%`.*", "*.*"]
    sent = []
    for grantee in grantees:
        for _ in range(chance.randrange(4)):
            table, verb = chance.choice(list(COLUMNS)), chance.choice(list(TRIES)).upper()
            on = table
            if verb != "DELETE" and chance.random() < 0.4:
                verb = f"{verb} ({', '.join(chance.sample(COLUMNS[table], 2))})"
            elif not postgresql(shop) and chance.random() < 0.5:
                on = chance.choice(patterns)
            sent.append(f"GRANT {verb} ON {on} TO {grantee}")
    return sent


def draw_roles(shop, chance, user, roles):
    """Which roles an account holds, and whether they are on when it logs in."""
    mine = chance.sample(roles, chance.randrange(3))
    sent = [f"GRANT {role} TO {user}" for role in mine]
    if postgresql(shop):
        return [*sent, f"ALTER ROLE {user} {chance.choice(['NOINHERIT', 'INHERIT'])}"]
    if mine and chance.random() < 0.6:
        to = "TO" if shop.database.server.engine == "mysql" else "FOR"
        sent.append(f"SET DEFAULT ROLE {mine[0]} {to} {user}")
    return sent


@contextlib.contextmanager
def lasting(shop, role):
    """On MySQL, the role is everybody's while the test runs; on MariaDB PUBLIC holds something."""
    engine = shop.database.server.engine
    if engine == "mysql":
        shop.database.execute(f'SET GLOBAL mandatory_roles = "{role}"')
    elif engine != "postgresql":
        shop.database.execute("GRANT UPDATE (amount) ON purchase TO PUBLIC")
    try:
        yield
    finally:
        if engine == "mysql":
            shop.database.execute("SET GLOBAL mandatory_roles = ''")
        elif engine != "postgresql":
            shop.database.execute("REVOKE UPDATE (amount) ON purchase FROM PUBLIC")


def test_many_accounts_and_tables_take_no_more_queries(shop):
    shop.write(
        "access.yaml", (shop.root / "access.yaml").read_text() + "  one:\n    tables: {purchase: ro}\n"
    )
    word = "WITH LOGIN PASSWORD" if postgresql(shop) else "IDENTIFIED BY"

    def adopt(*names, legacy=0):
        shop.database.execute(
            *(f"CREATE USER {quoted(shop, name)} {word} '{PASSWORD}'" for name in names),
            *(f"GRANT SELECT, UPDATE ON purchase TO {quoted(shop, name)}" for name in names),
            *(f"GRANT SELECT ON legacy{t} TO {quoted(shop, n)}" for n in names[::6] for t in range(legacy)),
        )
        plans = []
        sent = sent_by(lambda: plans.append(plan_access(shop.load(), shop.database.env(), adopt=True)))
        return sent, plans[0]

    few, _ = adopt("one")
    names = [f"more{number}" for number in range(35)]
    text = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", text + "".join(f"  {name}:\n    tables: {{purchase: ro}}\n" for name in names))
    shop.database.execute(*(f"CREATE TABLE legacy{number} (a int, b int)" for number in range(65)))
    many, plan = adopt(*names, legacy=65)
    assert len(many) == len(few)
    lost = [line for line in plan.adoption.lines if line.change == "lost"]
    assert len(lost) == 36 + 6 * 65  # the update of each, and all of the legacy
    told = list(plan.adoption.losses_as_text())
    assert len(told) == 36 + 6  # tables that are lost alike are told in one line


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_the_list_does_not_depend_on_the_order_of_the_servers_rows(shop, monkeypatch, order):
    build(shop)
    shop.database.execute(
        f"CREATE SCHEMA shut; CREATE TABLE shut.till (id int); GRANT UPDATE, SELECT ON shut.till TO {quoted(shop, 'direct')}"
    )
    shop.write("access.yaml", (shop.root / "access.yaml").read_text() + ACCESS.split("accounts:\n")[1])
    expected = plan_access(shop.load(), shop.env(), adopt=True).adoption.as_dict()
    rest, tables = effective_rights.OTHER_RIGHTS, effective_rights.table_rights
    monkeypatch.setattr(effective_rights, "OTHER_RIGHTS", f"{rest} ORDER BY 1 {order}, 5 {order}")
    monkeypatch.setattr(
        effective_rights,
        "table_rights",
        lambda version: f"{tables(version)} ORDER BY 1 {order}, 4 {order}",
    )
    assert plan_access(shop.load(), shop.env(), adopt=True).adoption.as_dict() == expected
    assert any(
        "direct: select, update on shut.till has no effect now" in line for line in expected["policies"]
    )
    held = {
        (line["login"].removeprefix(shop.database.prefix), line["verb"]): line["through"]
        for line in expected["effective"]
        if line["kind"] == "database"
    }
    assert held["nested", "temporary"] == ["PUBLIC"]  # as itself, before what it can become
