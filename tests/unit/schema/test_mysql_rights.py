"""Which grants on databases the admin may take away: the server compares how both are spelled."""

import pytest

from ringfence.schema.engines.mysql.privileges import AdminPrivileges, escaped_pattern, matches, unescaped

# (what the admin holds, what somebody was granted): whether MySQL 9.7 and MariaDB 10.11 let the REVOKE pass.
SEEN = {
    r"za\_db": {r"za\_db": True, "za_db": False, "za%": False, r"za\_%": False, r"za\_d_": False},
    "za_db": {r"za\_db": True, "za_db": True, "za%": False, r"za\_%": False, r"za\_d_": False},
    "za%": {r"za\_db": True, "za_db": True, "za%": True, r"za\_%": True, r"za\_d_": True, r"z_\_db": False},
    r"za\_%": {r"za\_db": True, "za_db": False, "za%": False, r"za\_%": True, r"za\_d_": True},
    "%": {r"za\_db": True, "za_db": True, "za%": True, r"za\_%": True, r"za\_d_": True, r"z_\_db": True},
}


@pytest.mark.parametrize("mine", SEEN)
def test_a_revoke_passes_where_the_servers_let_it(mine):
    rights = AdminPrivileges("'boss'@'%'", (), (), [("SELECT", mine, True, True)])
    assert {granted: rights.may_revoke("select", granted) for granted in SEEN[mine]} == SEEN[mine]
    assert {granted: rights.may_revoke("grant option", granted) for granted in SEEN[mine]} == SEEN[mine]


def test_what_is_not_held_or_not_passed_on_is_not_taken_away():
    rights = AdminPrivileges(
        "'boss'@'%'", (), (), [("SELECT", "shop", True, True), ("DELETE", "shop", True, False)]
    )
    assert [rights.may_revoke(verb, "shop") for verb in ("select", "delete", "insert")] == [
        True,
        False,
        False,
    ]
    assert not rights.may_revoke("select", None)


@pytest.mark.parametrize("name", ["shop", "my_shop", "100%", "a\\b", "ab", ""])
def test_a_database_is_spelled_escaped_pattern(name):
    assert unescaped(escaped_pattern(name)) == name
    assert matches(escaped_pattern(name), name)
