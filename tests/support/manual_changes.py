"""Changes made by hand on PostgreSQL that a plan and a proof must name, and what becomes of them."""

import re

import pytest

from ringfence.runtime.settings import Settings
from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify


def names(shop):
    given = {
        name: shop.login(name)
        for name in ("till", "report", "door", "kong", "group", "inner", "boss", "owner", "guest")
    }
    return given | {"database": shop.database.name}


def said(shop, text):
    return text.format_map(names(shop))


def asked(shop, query):
    return shop.database.execute(said(shop, query))


def change(shop, *statements):
    shop.database.execute(*(said(shop, one) for one in statements))


def findings(shop, env=None):
    settings = shop.settings() if env is None else Settings.from_env(env)
    return verify(shop.load(), settings, shop.passwords()).findings


def plan(shop, env=None):
    return plan_access(shop.load(), env or shop.database.env())


def is_closed(shop, *statements, says, finding="excess", query=None, left=()):
    """Make a change by hand; it is planned and proven, an apply takes it back, and then nothing is left to say."""
    change(shop, *statements)
    says = said(shop, says)
    made = plan(shop)
    assert made.obstacles == []
    assert made.steps, says
    proven = findings(shop)
    assert any(re.search(says, one.message) and one.kind == finding for one in proven), proven
    apply_access(shop.load(), shop.database.env() | shop.env())
    if query is not None:
        assert asked(shop, query) == list(left)
    again = plan(shop)
    assert again.agrees, again.sql()
    assert findings(shop) == []


def is_refused(shop, *statements, says, resolution, finding="excess"):
    """Make a change by hand that a person must take back: named with how to resolve it, before anything is changed."""
    change(shop, *statements)
    says, resolution = said(shop, says), said(shop, resolution)
    assert any(re.search(says, one) and resolution in one for one in plan(shop).obstacles), plan(
        shop
    ).obstacles
    proven = findings(shop)
    assert any(re.search(says, one.message) and one.kind == finding for one in proven), proven
    with pytest.raises(JobFailed, match=f"no account was changed(.|\n)*{says}"):
        apply_access(shop.load(), shop.env())


def quoted(statements):
    """The names of roles need quotes: prefixes may hold anything."""
    return [re.sub(r"\{(\w+)\}", r'"{\1}"', one) for one in statements]
