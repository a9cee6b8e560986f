"""Connections that are open while an apply takes rights away: who has them, what they keep, and what ends them."""

import contextlib
import json
import re

import pymysql
import pytest

from ringfence.schema.privileges.service import apply_access, plan_access
from support.deployments import ACCESS, lay_out

pytestmark = pytest.mark.requires("accounts")

OLD = "their-old-one-4711"
RESTART = "Once it is applied, restart the service, or end them: "
FAMILY = pytest.mark.engines("mysql", "mariadb", "galera")


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    db.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (1, 'a@x', 'hidden', '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (5, 1, 12)",
    )
    shop.write("access.yaml", ACCESS + "  old:\n    tables: {purchase: ro}\n")
    return shop


@pytest.fixture
def opened(shop):
    """Open connections of a login that are closed with the test."""
    with contextlib.ExitStack() as stack:

        def begin(login, password=OLD, node=0):
            connection = shop.database.connect(login, password, node)
            stack.callback(close, connection)
            return connection

        yield begin


def close(connection):
    with contextlib.suppress(Exception):  # it was ended by the server
        connection.close()


def account(shop, login):
    return f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"


def make(shop, *grants):
    """The account `old` as somebody else made it, with OLD for its password."""
    login = shop.login("old")
    word = "LOGIN PASSWORD" if shop.database.server.db_type == "postgresql" else "IDENTIFIED BY"
    shop.database.execute(
        f"CREATE USER {account(shop, login)} {word} '{OLD}'",
        *(grant.format(db=shop.database.name, old=account(shop, login)) for grant in grants),
    )
    return login


def ask(connection, sql):
    cursor = connection.cursor()
    cursor.execute(sql)
    return cursor.fetchall()


def warned(plan, login):
    return [one for one in plan.open_connections if one.login == login]


def end(shop, resolution):
    """Do what the plan says that an operator can do."""
    sql = resolution.removeprefix(RESTART)
    assert sql != resolution
    sql = sql.removeprefix("on each node: ")
    if sql.startswith("send what this gives: "):
        for (kill,) in shop.database.execute(sql.removeprefix("send what this gives: ")):
            shop.database.execute(kill)
    else:
        shop.database.execute(sql)


@FAMILY
@pytest.mark.parametrize(
    ("grant", "keeps"),
    [
        ("GRANT SELECT, INSERT ON `{db}`.* TO {old}", "INSERT, SELECT on the database "),
        ("GRANT SELECT ON *.* TO {old}", "SELECT on the server"),
    ],
)
def test_rights_above_tables_that_adoption_revokes_are_reported_for_open_connections(
    shop, opened, grant, keeps
):
    login = make(shop, grant)
    connections = [opened(login), opened(login)]
    for one in connections:
        assert ask(one, "SELECT secret FROM customer") == (("hidden",),)
    plan = plan_access(shop.load(), shop.env(), adopt=True)
    (found,) = warned(plan, login)
    assert [(one.host, one.count) for one in found.opened] == [(found.opened[0].host, 2)]
    assert found.opened[0].host in ("localhost", "127.0.0.1")
    name = shop.database.name.replace("_", r"\_")
    assert [kept.replace(name, "").replace(shop.database.name, "") for kept in found.keeps] == [keeps]
    assert not found.leaves
    (line,) = [
        warning for warning in plan.warnings if warning.startswith(f"{login} has 2 connections open (2 from ")
    ]
    assert found.keeps[0] in line
    assert line.endswith(found.resolution)

    done = apply_access(shop.load(), shop.env(), adopt=True)
    assert line in done.warnings
    assert ask(connections[0], "SELECT secret FROM customer") == (("hidden",),)
    with pytest.raises(Exception, match="denied"):
        ask(opened(login, shop.password("old")), "SELECT secret FROM customer")
    end(shop, found.resolution)
    for one in connections:
        with pytest.raises(Exception, match=r"Lost connection|killed|gone away"):
            ask(one, "SELECT secret FROM customer")
    assert warned(plan_access(shop.load(), shop.env()), login) == []


@FAMILY
def test_a_role_that_is_on_stays_on_in_open_connections_and_is_named(shop, opened):
    role = f"{shop.database.prefix}readers"
    login = make(shop)
    shop.database.execute(
        f"CREATE ROLE '{role}'",
        f"GRANT SELECT ON `{shop.database.name}`.* TO '{role}'",
        f"GRANT '{role}' TO {account(shop, login)}",
        f"GRANT SELECT (id) ON `{shop.database.name}`.customer TO {account(shop, login)}",
    )
    try:
        connection = opened(login)
        connection.cursor().execute(f"SET ROLE '{role}'")
        connection.cursor().execute(f"USE `{shop.database.name}`")
        (found,) = warned(plan_access(shop.load(), shop.env(), adopt=True), login)
        assert found.keeps == (f"the role {role}",)
        apply_access(shop.load(), shop.env(), adopt=True)
        assert ask(connection, "SELECT secret FROM customer") == (("hidden",),)
        end(shop, found.resolution)
        with pytest.raises(Exception, match=r"Lost connection|killed|gone away"):
            ask(connection, "SELECT secret FROM customer")
    finally:
        shop.database.execute(f"DROP ROLE '{role}'")


@FAMILY
def test_who_loses_rights_on_tables_alone_is_not_named_for_they_end_at_once(shop, opened):
    login = make(shop, "GRANT SELECT ON `{db}`.customer TO {old}", "GRANT SELECT ON `{db}`.purchase TO {old}")
    connection = opened(login)
    assert ask(connection, "SELECT secret FROM customer") == (("hidden",),)
    plan = plan_access(shop.load(), shop.env(), adopt=True)
    assert [str(line) for line in plan.losses] != []
    assert plan.open_connections == []
    apply_access(shop.load(), shop.env(), adopt=True)
    with pytest.raises(Exception, match="denied"):
        ask(connection, "SELECT secret FROM customer")
    assert ask(connection, "SELECT id FROM purchase") == ((5,),)


@FAMILY
def test_a_grant_in_another_database_is_reported_for_open_connections(shop, opened):
    with shop.database.server.database() as other:
        login = make(
            shop, f"GRANT SELECT ON `{other.name}`.* TO {{old}}", "GRANT SELECT ON `{db}`.purchase TO {old}"
        )
        other.execute("CREATE TABLE theirs (id integer)", "INSERT INTO theirs VALUES (7)")
        connection = opened(login)
        connection.cursor().execute(f"USE `{other.name}`")
        (found,) = warned(plan_access(shop.load(), shop.env(), adopt=True), login)
        assert re.fullmatch(rf"SELECT ON `{other.name}`\.\*", found.keeps[0].replace("\\", ""))
        apply_access(shop.load(), shop.env(), adopt=True)
        assert ask(connection, "SELECT id FROM theirs") == ((7,),)


@pytest.mark.engines("mysql")
def test_an_outsider_that_had_an_account_as_a_role_is_named_too(shop):
    apply_access(shop.load(), shop.env())
    kong, till = f"{shop.database.prefix}kong", account(shop, shop.login("till"))
    shop.database.execute(f"CREATE USER '{kong}'@'%' IDENTIFIED BY '{OLD}'", f"GRANT {till} TO '{kong}'@'%'")
    host, port = shop.database.server.hosts[0]
    with pymysql.connect(host=host, port=port, user=kong, password=OLD):
        (found,) = warned(plan_access(shop.load(), shop.env()), kong)
    assert found.keeps == (f"the rights of {till}",)
    assert sum(one.count for one in found.opened) == 1


def test_connections_of_an_account_that_leaves_are_counted_by_address_and_go_on(shop, opened):
    apply_access(shop.load(), shop.env())
    login = shop.login("old")
    first, _second = opened(login, shop.password("old")), opened(login, shop.password("old"))
    rows = [tuple(row) for row in ask(first, "SELECT id FROM purchase")]
    assert rows == [(5,)]
    shop.write("access.yaml", ACCESS)
    plan = plan_access(shop.load(), shop.env(), prune=True)
    (found,) = warned(plan, login)
    assert found.leaves
    assert found.keeps == ()
    assert sum(one.count for one in found.opened) == 2
    assert all(one.host for one in found.opened)
    apply_access(shop.load(), shop.env(), prune=True)
    with pytest.raises(Exception, match="denied"):
        ask(first, "SELECT id FROM purchase")
    with contextlib.suppress(Exception):
        first.rollback()
    assert [tuple(row) for row in ask(first, "SELECT 1")] == [(1,)]


def test_the_document_holds_the_connections(shop, opened):
    apply_access(shop.load(), shop.env())
    login = shop.login("old")
    opened(login, shop.password("old"))
    shop.write("access.yaml", ACCESS)
    asked = shop.run("ringfence", "access", "plan", "--json")
    (one,) = json.loads(asked.stdout)["error"]["plan"]["open_connections"]
    node = one["connections"][0].pop("node")
    assert (node == "") == (shop.database.server.engine != "galera")
    host = one["connections"][0]["host"]
    assert host in ("localhost", "127.0.0.1")
    assert one == {
        "login": login,
        "connections": [{"host": host, "count": 1}],
        "keeps": [],
        "leaves": True,
        "resolution": one["resolution"],
    }
    assert login in one["resolution"]
    people = shop.run("ringfence", "access", "plan")
    assert (
        f"{login} is no longer declared, and has 1 connection open (1 from {host}"
        in people.stderr + people.stdout
    )


@pytest.mark.engines("galera")
def test_connections_to_every_node_are_named_with_their_node(shop, opened):
    apply_access(shop.load(), shop.env())
    login = shop.login("old")
    for node in (0, 1, 1):
        opened(login, shop.password("old"), node)
    shop.write("access.yaml", ACCESS)
    (found,) = warned(plan_access(shop.load(), shop.env()), login)
    nodes = [f"{host}:{port}" for host, port in shop.database.server.hosts]
    assert {one.node: one.count for one in found.opened} == {nodes[0]: 1, nodes[1]: 2}
    assert "on each node: KILL USER" in found.resolution


@pytest.mark.engines("postgresql")
def test_who_has_taken_a_role_on_stays_it_and_is_named(shop, opened):
    role = f"{shop.database.prefix}readers"
    login = make(
        shop,
        f'CREATE ROLE "{role}"',
        f'GRANT SELECT ON customer TO "{role}"',
        f'GRANT "{role}" TO {{old}}',
        "GRANT CONNECT ON DATABASE {db} TO {old}",
    )
    connection = opened(login)
    connection.cursor().execute(f'SET ROLE "{role}"')
    (found,) = warned(plan_access(shop.load(), shop.env(), adopt=True), login)
    assert found.keeps == (f"the role {role}",)
    assert [(one.host, one.count) for one in found.opened] == [("127.0.0.1", 1)]
    apply_access(shop.load(), shop.env(), adopt=True)
    assert ask(connection, "SELECT secret FROM customer") == [("hidden",)]
    end(shop, found.resolution)
    with pytest.raises(Exception, match=r"terminat|closed"):
        ask(connection, "SELECT secret FROM customer")


@pytest.mark.engines("postgresql")
def test_an_outsider_that_has_become_an_account_is_named(shop, opened):
    apply_access(shop.load(), shop.env())
    kong = f"{shop.database.prefix}kong"
    till = shop.login("till")
    shop.database.execute(
        f"CREATE ROLE \"{kong}\" LOGIN PASSWORD '{OLD}'",
        f'GRANT CONNECT ON DATABASE {shop.database.name} TO "{kong}"',
        f'GRANT "{till}" TO "{kong}"',
    )
    connection = opened(kong)
    connection.cursor().execute(f'SET ROLE "{till}"')
    (found,) = warned(plan_access(shop.load(), shop.env()), kong)
    assert found.keeps == (f"the rights of {till}",)
    apply_access(shop.load(), shop.env())
    assert ask(connection, "SELECT secret FROM customer") == [("hidden",)]
    end(shop, found.resolution)
    with pytest.raises(Exception, match=r"terminat|closed"):
        ask(connection, "SELECT 1")
