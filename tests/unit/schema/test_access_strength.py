"""Passwords that protect nothing are refused, each with its account, and none is shown."""

from dataclasses import replace

import pytest

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Secret
from ringfence.schema.deployment import Deployment
from ringfence.schema.grants.passwords import scram_verifier
from ringfence.schema.manifest.model import Account, Origin
from ringfence.schema.privileges.password_strength import WeakPasswords, refuse_weak, weaknesses

GOOD = "xK7-wq2Lm9-Tz4vB"
TILL = Account("till", "shop-till", (), Origin("access.yaml", 3))
DOOR = Account("door", "shop-door", (), Origin("access.yaml", 9))


@pytest.fixture
def shop(tmp_path):
    accounts = {"till": TILL, "door": DOOR}
    return Deployment(
        tmp_path, "kiosk", ("postgresql",), tmp_path, tmp_path, (), {}, accounts, allow_weak=("development",)
    )


def told(shop, till, door=GOOD, admin="of the admin alone"):
    return weaknesses(shop, {"shop-till": Secret(till), "shop-door": Secret(door)}, admin)


@pytest.mark.parametrize(
    "password",
    [
        *("x7K2w", "11-chars-qz"),
        *("changeme-please", "CHANGE_ME_2026!", "P@ssw0rd1234", "password password", "<your password here>"),
        *("shop-till-2026", "till_till_till", "llit-shop-till", "kiosk-password", "shop-till"),
        *("aaaaaaaaaaaaaaaa", "abababababababab", "123456789012", "abcdefghijklm", "qwertyuiop12"),
    ],
)
def test_what_anybody_would_try_is_refused(shop, password):
    (line,) = told(shop, password)
    assert line.startswith("TILL_DB_PASS ")
    assert line.endswith("(account till, access.yaml:3)")
    assert password not in line


@pytest.mark.parametrize(
    "password",
    [
        "xK7-wq2Lm9-Tz4v",
        "three quiet bicycles",
        "83749201847362910",
        "\u00e4\u00f6\u00fc\u00df-\u8a9e-plenty-of",
        "admin-83749201847362910",
        # Salted anew in each process, and xdist wants the same name of a test in all of them.
        pytest.param(scram_verifier("xK7-wq2Lm9-Tz4v"), id="verifier"),
    ],
)
def test_what_is_hard_to_guess_is_taken(shop, password):
    assert told(shop, password) == []


def test_one_password_for_two_accounts_or_for_the_admin_is_refused(shop):
    other = "no7her-Lm9-Tz4vB"
    assert told(shop, other, other) == ["DOOR_DB_PASS is that of till too (account door, access.yaml:9)"]
    assert told(shop, other, admin=other) == ["TILL_DB_PASS is the admin's own (account till, access.yaml:3)"]
    assert len(told(shop, scram_verifier(other), admin=other)) == 1
    assert len(told(shop, scram_verifier("shop-till"))) == 1


def test_all_are_named_at_once_with_the_resolution(shop):
    weak = {"shop-till": Secret("changeme"), "shop-door": Secret("hunter2")}
    with pytest.raises(WeakPasswords) as raised:
        refuse_weak(shop, weak, None, {})
    for part in (
        "TILL_DB_PASS",
        "DOOR_DB_PASS",
        "secrets generate",
        "in development, --allow-weak takes them",
    ):
        assert part in str(raised.value)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(WeakPasswords) as raised:
        refuse_weak(replace(shop, allow_weak=()), weak, None, {})
    assert "--allow-weak" not in str(raised.value)


def test_weak_ones_are_let_through_where_the_deployment_says_so(shop):
    weak = {"shop-till": Secret("changeme")}
    refuse_weak(shop, weak, None, {"RINGFENCE_ENV": "development"}, allow=True)
    for env in ({"RINGFENCE_ENV": "production"}, {}):
        with pytest.raises(
            BadSettings, match=r"--allow-weak is not allowed here: RINGFENCE_ENV is .*development"
        ):
            refuse_weak(shop, weak, None, env, allow=True)
    with pytest.raises(BadSettings, match="allows it nowhere"):
        refuse_weak(replace(shop, allow_weak=()), weak, None, {"RINGFENCE_ENV": "test"}, allow=True)
