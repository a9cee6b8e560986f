"""`--adopt` on PostgreSQL: rows by policies before and after, what does nothing now, and whom else it concerns."""

import json
import re

import pytest

from ringfence.schema.privileges.service import plan_access
from support.deployments import lay_out

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]

PASSWORD = "their-old-one-4711"
TABLES = ("customer", "purchase")

ROWS = """
  kong:
    tables:
      purchase: {rows: {customer_id: 7}, select: all, insert: all}
      customer: {select: [id, email, active]}
  same:
    tables:
      purchase: {rows: {customer_id: [1, 2]}, select: all}
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


class TestPolicies:
    @pytest.fixture
    def catalog(self, shop):
        """Accounts of others behind policies that were made by hand."""
        q = lambda name: f'"{shop.login(name)}"'  # noqa: E731 - short, and used on every line
        shop.write("access.yaml", (shop.root / "access.yaml").read_text() + ROWS.lstrip("\n"))
        shop.database.execute(
            f'GRANT CONNECT ON DATABASE "{shop.database.name}" TO PUBLIC',
            *(
                f"CREATE ROLE {q(name)} LOGIN PASSWORD '{PASSWORD}'"
                for name in ("kong", "same", "outsider", "member")
            ),
            f"GRANT {q('kong')} TO {q('member')}",
            "CREATE SEQUENCE tickets",
            f"GRANT USAGE ON SEQUENCE tickets, purchase_id_seq TO {q('kong')}, {q('same')}",
            f"GRANT SELECT, INSERT ON purchase TO {q('kong')}",
            f"GRANT SELECT ON purchase TO {q('same')}",
            "ALTER TABLE purchase ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY low ON purchase FOR SELECT TO {q('kong')} USING (customer_id < 100)",
            f"CREATE POLICY two ON purchase TO {q('same')} USING (customer_id IN (1, 2))",
            f"CREATE POLICY idle ON purchase FOR DELETE TO {q('kong')} USING (amount = 0)",
            f"CREATE POLICY asleep ON customer TO {q('kong')} USING (active)",
            "GRANT SELECT ON customer TO PUBLIC",
            "CREATE SCHEMA stock",
            "CREATE TABLE stock.item (id int)",
            f"GRANT SELECT ON stock.item TO {q('kong')}",
            "CREATE FUNCTION lucky() RETURNS int LANGUAGE sql AS 'SELECT 7'",
        )
        return shop

    def lines(self, shop, adoption):
        return {
            (line.login.removeprefix(shop.database.prefix), line.kind, line.table, line.verb): line
            for line in adoption.lines
        }

    def test_rows_before_and_after_are_named(self, catalog):
        adoption = plan_access(catalog.load(), catalog.env(), adopt=True).adoption
        lines = self.lines(catalog, adoption)
        seen = {
            key: (line.change, line.rows_before, line.rows_after)
            for key, line in lines.items()
            if key[2] == "purchase"
        }
        assert seen == {
            ("kong", "table", "purchase", "select"): ("changed", "customer_id < 100", "customer_id = 7"),
            # A policy for SELECT alone lets nothing be inserted.
            ("kong", "table", "purchase", "insert"): ("gained", None, "customer_id = 7"),
            ("same", "table", "purchase", "select"): (
                "kept",
                "customer_id = ANY (ARRAY[1, 2])",
                "customer_id = ANY (ARRAY[1, 2])",
            ),
        }

    def test_what_is_no_table_and_whom_else_it_concerns(self, catalog):
        adoption = plan_access(catalog.load(), catalog.env(), adopt=True).adoption
        prefix = catalog.database.prefix
        lines = self.lines(catalog, adoption)
        rest = {key: line.change for key, line in lines.items() if key[2] not in TABLES}
        assert rest == {
            (service, *thing): "lost"
            for service in ("kong", "same")
            for thing in (("sequence", "tickets", "usage"), ("function", "lucky()", "execute"))
        }
        assert lines["same", "table", "customer", "select"].through == ("PUBLIC",)
        assert (
            lines["kong", "table", "customer", "select"].change,
            lines["kong", "table", "customer", "select"].lost_columns,
        ) == ("changed", ("secret",))
        others = "\n".join(adoption.others)
        assert f"{prefix}member is a member of {prefix}kong" in others
        [line] = [
            one for one in adoption.others if one.startswith("select on customer is revoked from PUBLIC")
        ]
        # The server may have other roles that connect, of tests that run beside this one: ten are shown.
        shown = set(re.findall(r"[\w-]+", line))
        assert {f"{prefix}member", f"{prefix}outsider"} <= shown or re.search(r" and \d+ more, ", line)

    def test_what_does_nothing_now_is_named_with_what_becomes_of_it(self, catalog):
        notes = plan_access(catalog.load(), catalog.env(), adopt=True).adoption.policies
        kong = catalog.login("kong")
        said = "\n".join(notes)
        for text in (
            f"{kong}: select on stock.item has no effect now, because the login has no USAGE on the schema stock;"
            " an apply revokes the grant",
            f"{kong}: insert on purchase reaches no row now, because row security is on and no policy applies to the"
            " login; an apply creates policies, and insert takes effect",
            f"the policy idle on purchase, for {kong}, has no effect for {kong} now, because delete on the table is not"
            " granted; an apply drops it",
            f"the policy asleep on customer, for {kong}, has no effect now, because row security is off for the table;"
            " an apply drops it",
        ):
            assert text in notes, said

    def test_a_policy_of_others_that_comes_alive(self, catalog):
        outsider = catalog.login("outsider")
        catalog.database.execute(
            "ALTER TABLE purchase DISABLE ROW LEVEL SECURITY",
            f'GRANT SELECT ON purchase TO "{outsider}"',
            f'CREATE POLICY alive ON purchase TO "{outsider}" USING (amount > 0)',
        )
        plan = plan_access(catalog.load(), catalog.env(), adopt=True)
        assert (
            f"the policy alive on purchase, for {outsider}, has no effect now, because row security is off for the table;"
            f" an apply enables row security, and it takes effect for {outsider}"
        ) in plan.adoption.policies
        # Without row security no policy binds anybody.
        line = self.lines(catalog, plan.adoption)["kong", "table", "purchase", "select"]
        assert (line.change, line.rows_before, line.rows_after) == ("changed", "every row", "customer_id = 7")

    def test_row_security_without_scopes_is_what_it_will_be(self, catalog):
        """An apply switches it off where all policies are ours, and leaves it to policies that are for others too."""
        same = catalog.login("same")
        catalog.database.execute(
            "ALTER TABLE customer ENABLE ROW LEVEL SECURITY",
            f'GRANT SELECT ON customer TO "{catalog.login("kong")}"',
        )
        line = ("kong", "table", "customer", "select")
        plan = plan_access(catalog.load(), catalog.env(), adopt=True)
        seen = self.lines(catalog, plan.adoption)[line]
        assert (seen.rows_before, seen.rows_after) == ("active", "every row")
        catalog.database.execute(
            f'CREATE POLICY shared ON customer TO "{catalog.login("outsider")}", "{catalog.login("kong")}"'
            " USING (email <> '')"
        )
        plan = plan_access(catalog.load(), catalog.env(), adopt=True)
        seen = self.lines(catalog, plan.adoption)[line]
        assert seen.rows_before == "active OR ((email)::text <> ''::text)"
        assert seen.rows_after == "(email)::text <> ''::text"
        assert any("the policy shared on customer" in text for text in plan.adoption.policies)
        table = [one for one in plan.adoption.lines if (one.login, one.table) == (same, "customer")]
        assert not [one for one in table if one.rows_before]  # what it has from PUBLIC shows it no row

    def test_the_list_stands_before_the_first_statement_and_in_json(self, catalog):
        kong = catalog.login("kong")
        shown = catalog.run("ringfence", "access", "plan", "--adopt")
        print(shown.stdout)
        lost = shown.stdout.index(f"adopting revokes {kong}: usage on sequence tickets")
        table = shown.stdout.index("customer_id < 100")
        assert lost < table
        planned = json.loads(catalog.run("ringfence", "access", "plan", "--adopt", "--json").stdout)
        effective = planned["error"]["plan"]["effective"]
        wanted = {
            "login": kong,
            "table": "purchase",
            "kind": "table",
            "verb": "select",
            "columns_before": "all",
            "columns_after": "all",
            "rows_before": "customer_id < 100",
            "rows_after": "customer_id = 7",
            "change": "changed",
            "through": ["grant"],
        }
        assert wanted in effective
