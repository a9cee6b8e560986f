"""The difference between wanted and held privileges."""

import random

from ringfence.runtime.mirror import VERBS
from ringfence.schema.grants.difference import Privilege, batches, bundles, difference, table_privileges
from ringfence.schema.manifest.model import Account, Grant, Origin

ORIGIN = Origin("access.yaml", 7)


def on(verb, column="", login="till", name="customer"):
    return Privilege(login, "table", "public", name, verb, column)


def test_what_is_held_and_wanted_is_left_alone():
    assert difference({on("select")}, {on("select")}).grant == ()


def test_only_the_difference_is_granted_and_revoked():
    change = difference({on("select"), on("insert")}, {on("select"), on("delete")})
    assert change.grant == (on("insert"),)
    assert change.revoke == (on("delete"),)


def test_columns_are_granted_again_where_the_revoke_of_the_table_takes_them_along():
    wanted = {on("select", "id"), on("select", "email")}
    held = {on("select"), on("select", "id"), on("select", "secret")}
    change = difference(wanted, held)
    assert change.revoke == (on("select"),)
    assert (change.grant, set(change.regrant)) == ((), wanted)


def test_a_column_is_revoked_by_itself_where_its_table_is_not():
    change = difference({on("select", "id")}, {on("select", "id"), on("select", "secret")})
    assert change.revoke == (on("select", "secret"),)
    assert (change.grant, change.regrant) == ((), ())


def test_a_revoke_of_one_verb_leaves_the_columns_of_another():
    wanted = {on("select", "id"), on("update", "id")}
    change = difference(wanted, wanted | {on("update")})
    assert change.regrant == (on("update", "id"),)
    assert change.grant == ()


def test_one_bundle_has_all_verbs_of_a_login_on_a_table():
    found = list(
        bundles([on("select", "id"), on("select", "email"), on("delete"), on("select", login="report")])
    )
    assert [bundle.login for bundle in found] == ["report", "till"]
    assert found[1].verbs == (("delete", None), ("select", ("email", "id")))


def test_every_account_reads_the_releases():
    grant = Grant("select", None, "customer", ("id",), ORIGIN)
    wanted = table_privileges([Account("till", "till", (grant,), ORIGIN)], "public")
    assert wanted == {
        on("select", "id"),
        on("select", name="ringfence_release"),
        on("select", name="ringfence_retired"),
    }


def test_a_table_of_another_schema_is_expected_in_it():
    grant = Grant("delete", "sales", "customer", None, ORIGIN)
    wanted = table_privileges([Account("till", "till", (grant,), ORIGIN)], "public")
    assert Privilege("till", "table", "sales", "customer", "delete") in wanted


def gathered(privileges, *, many_objects):
    return {(b.logins, b.objects, b.verbs) for b in batches(privileges, many_objects=many_objects)}


def test_equal_privileges_of_several_logins_are_one_batch():
    asked = [
        on(verb, login=login, name=name) for verb in ("insert", "select") for login in "ab" for name in "xy"
    ]
    both = (("insert", None), ("select", None))
    assert gathered(asked, many_objects=True) == {(("a", "b"), (("public", "x"), ("public", "y")), both)}
    assert gathered(asked, many_objects=False) == {
        (("a", "b"), (("public", "x"),), both),
        (("a", "b"), (("public", "y"),), both),
    }


def test_columns_are_of_one_table_and_verbs_are_never_multiplied():
    asked = [
        *(on("select", "id", login=login, name=name) for login in "ab" for name in "xy"),
        on("delete", login="a", name="x"),
    ]
    found = gathered(asked, many_objects=True)
    assert found == {
        (("a",), (("public", "x"),), (("delete", None), ("select", ("id",)))),
        (("b",), (("public", "x"),), (("select", ("id",)),)),
        (("a", "b"), (("public", "y"),), (("select", ("id",)),)),
    }


def test_batches_say_exactly_what_was_asked():
    some = random.Random(4)  # noqa: S311 - the same draws in each run
    for _ in range(50):
        asked = {
            on(
                some.choice(VERBS),
                some.choice(["", "", "id", "email"]),
                login=some.choice("abc"),
                name=some.choice("xyz"),
            )
            for _ in range(30)
        }
        for many_objects in (True, False):
            said = [
                Privilege(login, batch.kind, *one, verb, column)
                for batch in batches(asked, many_objects=many_objects)
                for login in batch.logins
                for one in batch.objects
                for verb, columns in batch.verbs
                for column in columns or ("",)
            ]
            assert len(said) == len(set(said))
            assert set(said) == asked
