"""Row scopes, from the manifest's lines to logins that try them: the same on every engine, in the service's own code."""

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ringfence.runtime import AccessDenied, CheckViolation, InterfaceError, UniqueViolation
from servers.base import Server
from support.runtime_shop import in_threads
from support.scoped_accounts import DAY, IDENT, LINKS, SAMPLE, ScopedAccounts, migrate_scoped_accounts

pytestmark = pytest.mark.newer

TWITCH = ["twitch-1", "twitch-2"]


@pytest.fixture(scope="module")
def _scoped(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScopedAccounts]:
    with server.database() as database:
        made = migrate_scoped_accounts(tmp_path_factory.mktemp("scoped"), database)
        yield made
        made.close()


@pytest.fixture
def scoped(_scoped: ScopedAccounts) -> ScopedAccounts:
    """The deployment with six links and no other row."""
    _scoped.fill()
    return _scoped


def links(scoped: ScopedAccounts) -> dict[str, tuple[Any, ...]]:
    """What is really stored, as an account without a scope sees it."""
    with scoped.session("office") as dal:
        return {
            row.name: (row.platform, row.token, row.uses) for row in dal(dal.link).select(orderby=dal.link.id)
        }


def test_only_rows_of_the_scope_are_seen_however_one_asks(scoped: ScopedAccounts) -> None:
    with scoped.session("twitch") as dal:
        link = dal.link
        other = link.with_alias("other")
        everything = dal(link).select(orderby=link.name)
        assert [row.name for row in everything] == TWITCH
        assert dal(link).count() == 2
        assert dal(link.uses > 0).count(distinct=link.platform) == 1
        assert dal(link).isempty() is False
        assert dal(link.platform == "discord").isempty()
        assert dal(link).select(link.uses.sum()).first()[link.uses.sum()] == 3
        assert [row.platform for row in dal(link).select(link.platform, distinct=True)] == ["twitch"]
        assert [row.name for row in dal(link).iterselect(orderby=link.name)] == TWITCH
        assert [row.name for row in dal(link.name.startswith("d")).select()] == []
        assert link(name="discord-1") is None
        assert link(name="twitch-1").uses == 1
        assert link[everything[0].id].name == "twitch-1"
        assert {row.name for row in dal(other).select(other.name)} == set(TWITCH)
        joined = dal(link.uses == other.uses).select(link.name, other.name)
        assert sorted((row.link.name, row.other.name) for row in joined) == [(name, name) for name in TWITCH]
        left = dal(link).select(link.name, other.name, left=other.on(other.uses == link.uses + 1))
        assert {(row.link.name, row.other.name) for row in left} == {
            ("twitch-1", "twitch-2"),
            ("twitch-2", None),
        }
        nested = dal(link.uses > 1)._select(link.id)
        assert [row.name for row in dal(link.id.belongs(nested)).select()] == ["twitch-2"]
        grouped = dal(link).select(link.platform, link.id.count(), groupby=link.platform)
        assert [row[link.id.count()] for row in grouped] == [2]


def test_writes_skip_what_is_not_seen_and_say_so(scoped: ScopedAccounts) -> None:
    with scoped.session("twitch") as dal:
        link = dal.link
        assert dal(link).update(token="new") == 2
        assert dal(link.name == "discord-1").update(token="mine") == 0
        assert dal((link.name == "twitch-1") | (link.platform == "discord")).update(uses=link.uses + 10) == 1
        assert dal(link.uses == link.uses).update(token=link.name) == 2
        row = dal(link.name == "twitch-1").select().first()
        row.update_record(token="by record")
        assert dal(link.platform != "twitch").validate_and_update(token="mine")["updated"] == 0
        nested = dal(link.uses < 9)._select(link.id)
        if dal(link.id.belongs([row.id for row in dal(link.id.belongs(nested)).select()])).delete() != 1:
            pytest.fail("one row of the scope was to be deleted")
        assert dal(link.platform == "kick").delete() == 0
    found = links(scoped)
    assert found.pop("twitch-1") == ("twitch", "by record", 11)
    assert "twitch-2" not in found
    assert found == {row["name"]: (row["platform"], row["token"], row["uses"]) for row in LINKS[2:]}
    with scoped.session("twitch") as dal:
        dal(dal.link).select().first().delete_record()
        assert dal(dal.link).delete() == 0
    assert len(links(scoped)) == 4


def test_rows_come_in_inside_the_scope_alone(scoped: ScopedAccounts) -> None:
    before = links(scoped)
    twitch = scoped.service("twitch")
    for write in (
        lambda dal: dal.link.insert(platform="discord", name="mine"),
        lambda dal: dal.link.insert(
            platform="discord", name="discord-1"
        ),  # nothing is said of who has the name
        lambda dal: dal.link.bulk_insert([LINKS[0] | {"name": "a"}, LINKS[2] | {"name": "b"}]),
        lambda dal: dal.link.update_or_insert(dal.link.name == "discord-1", name="x", platform="discord"),
    ):
        with pytest.raises(CheckViolation, match="scope of the account on link"), twitch.session() as dal:
            write(dal)
    with pytest.raises(UniqueViolation), twitch.session() as dal:
        dal.link.insert(platform="twitch", name="discord-1")
    with pytest.raises(AccessDenied), twitch.session() as dal:
        dal(dal.link).update(platform="discord")
    assert links(scoped) == before
    with twitch.session() as dal:
        link = dal.link
        key = link.insert(platform="twitch", name="one")
        assert link[key].name == "one"
        with pytest.raises(CheckViolation), twitch.session():
            link.insert(platform="kick", name="never")
        keys = link.bulk_insert([{"platform": "twitch", "name": name} for name in ("two", "three")])
        assert len(keys) == 2
        assert link.update_or_insert(link.name == "two", platform="twitch", name="two", uses=7) is None
        assert link.update_or_insert(link.name == "four", platform="twitch", name="four")
        assert link.validate_and_insert(platform="twitch", name="five")["id"]
    new = {name: row for name, row in links(scoped).items() if name not in before}
    assert set(new) == {"one", "two", "three", "four", "five"}
    assert new["two"][2] == 7


def test_upserts_and_updates_of_many_records_keep_to_the_scope(scoped: ScopedAccounts) -> None:
    twitch = scoped.service("twitch")
    with twitch.session() as dal:
        link = dal.link
        theirs = scoped.ids["discord-1"]
        assert link.upsert(platform="twitch", name="twitch-1", token="up") == scoped.ids["twitch-1"]
        assert link.upsert(platform="twitch", name="new", token="up")
        own = scoped.ids["twitch-2"]
        assert link.bulk_update([{"id": own, "token": "many"}, {"id": theirs, "token": "many"}]) == 1
    for values in (
        {"platform": "twitch", "name": "discord-1", "token": "mine"},
        {"platform": "twitch", "name": "discord-1"},
        {"platform": "discord", "name": "x", "token": "mine"},
        {"_key": "id", "id": theirs, "platform": "twitch", "name": "y"},
    ):
        with (
            pytest.raises(CheckViolation, match="scope of the account on link") as met,
            twitch.session() as dal,
        ):
            dal.link.upsert(**values)
        assert (met.value.constraint, met.value.columns) == (None, ())
        assert "discord" not in f"{met.value} {met.value.__cause__}"
    with (
        pytest.raises(UniqueViolation),
        twitch.session() as dal,
    ):  # a key that does not decide, as of an insert
        dal.link.upsert(_key="id", id=scoped.ids["twitch-1"], platform="twitch", name="discord-1")
    with (
        pytest.raises(CheckViolation),
        scoped.session("clerk") as dal,
    ):  # which sees it, and may not update it
        dal.link.upsert(platform="kick", name="kick-1", token="mine")
    with scoped.session("clerk") as dal:
        assert dal.link.upsert(platform="kick", name="kick-1") == scoped.ids["kick-1"]
    found = links(scoped)
    assert [name for name, row in found.items() if row[1] == "up"] == ["twitch-1", "new"]
    assert [name for name, row in found.items() if row[1] == "many"] == ["twitch-2"]
    assert found["discord-1"] == ("discord", "discord's", 1)


def test_each_verb_has_its_own_rows(scoped: ScopedAccounts) -> None:
    clerk = scoped.service("clerk")
    with clerk.session() as dal:
        link = dal.link
        assert sorted(row.name for row in dal(link).select()) == ["kick-1", "kick-2", *TWITCH]
        assert dal(link).update(token="clerk's") == 2
        assert dal(link.name == "kick-1").update(token="clerk's") == 0
        assert link.insert(platform="kick", name="kick-3")
        assert dal(link.name.belongs(["kick-1", "twitch-1", "discord-1"])).delete() == 1
        assert dal(link.uses.belongs([1, 2])).delete() == 1
    for platform in ("twitch", "discord"):
        with pytest.raises(CheckViolation), clerk.session() as dal:
            dal.link.insert(platform=platform, name="x")
    found = links(scoped)
    assert set(found) == {*TWITCH, "discord-1", "discord-2", "kick-3"}
    assert [name for name, row in found.items() if row[1] == "clerk's"] == TWITCH


def test_columns_and_rows_hold_together(scoped: ScopedAccounts) -> None:
    narrow = scoped.service("narrow")
    with narrow.session() as dal:
        assert [row.as_dict() for row in dal(dal.link.name == "twitch-1").select(dal.link.name)] == [
            {"name": "twitch-1"}
        ]
        assert dal(dal.link.name == "discord-2").update(name="taken") == 0
        assert dal(dal.link).count() == 2
        assert dal(dal.link.name == "twitch-2").update(name="ours") == 1
    assert set(links(scoped)) == {"twitch-1", "ours", "discord-1", "discord-2", "kick-1", "kick-2"}


def test_alternatives_add_up(scoped: ScopedAccounts) -> None:
    with scoped.session("either") as dal:
        link = dal.link
        assert dal(link).count() == 4
        assert dal(link.uses == 2).update(token="either's") == 2
        assert dal(link.uses == 1).delete() == 2
        assert link.insert(platform="kick", name="kick-9")
        assert link.insert(platform="twitch", name="twitch-9")
    with pytest.raises(CheckViolation), scoped.session("either") as dal:
        dal.link.insert(platform="discord", name="discord-9")
    assert set(links(scoped)) == {"twitch-2", "kick-2", "twitch-9", "kick-9", "discord-1", "discord-2"}


OTHERS: dict[str, Any] = {
    "word": "Some",
    "whole": 3,
    "ident": uuid.UUID(int=IDENT.int + 1),
    "flag": False,
    "day": DAY + dt.timedelta(1),
    "mood": "wild",
}


def test_constants_of_every_kind(scoped: ScopedAccounts) -> None:
    rows = [SAMPLE | {column: value, "remark": column} for column, value in OTHERS.items()]
    rows += [SAMPLE | {column: None, "remark": f"no {column}"} for column in OTHERS]
    rows += [SAMPLE | {"gone": DAY, "remark": "gone"}, SAMPLE | {"whole": 2, "remark": "two"}]
    with scoped.session("office") as dal:
        dal.sample.bulk_insert([*rows, SAMPLE | {"remark": "all"}])
    with scoped.session("typist") as dal:
        sample = dal.sample
        assert sorted(row.remark for row in dal(sample).select()) == ["all", "two"]
        assert dal(sample).update(remark="seen") == 2
        assert sample.insert(**SAMPLE, remark="mine")
        assert dal(sample.remark == "seen").delete() == 2
    for row in rows[:-1]:
        with pytest.raises(CheckViolation), scoped.session("typist") as dal:
            dal.sample.insert(**row)


def test_bound_values_of_every_kind(scoped: ScopedAccounts) -> None:
    bound = {name: SAMPLE[name] for name in ("word", "ident", "flag", "day", "mood")}
    with scoped.session("office") as dal:
        dal.sample.bulk_insert([SAMPLE | {"remark": "all"}, *(
            SAMPLE | {column: OTHERS[column], "remark": column} for column in bound
        )])  # fmt: skip
    with scoped.session("binder", bound) as dal:
        assert [row.remark for row in dal(dal.sample).select()] == ["all"]
        assert dal(dal.sample).update(remark="mine") == 1
        assert dal.sample.insert(**SAMPLE)
    for name in bound:
        with scoped.session("binder", bound | {name: OTHERS[name]}) as dal:
            assert [row.remark for row in dal(dal.sample).select()] == [name]
            assert dal(dal.sample.remark == "mine").delete() == 0
        with pytest.raises(CheckViolation), scoped.session("binder", bound | {name: OTHERS[name]}) as dal:
            dal.sample.insert(**SAMPLE)
        with scoped.session("binder", {key: value for key, value in bound.items() if key != name}) as dal:
            assert dal(dal.sample).isempty()
            assert dal(dal.sample).update(remark="x") == 0


def _invoices(scoped: ScopedAccounts) -> None:
    with scoped.session("office") as dal:
        for tenant in (1, 2):
            for number in (1, 2):
                invoice = dal.invoice.insert(tenant_id=tenant, number=f"{tenant}/{number}", amount=number)
                dal.line.insert(tenant_id=tenant, invoice_id=invoice, words=f"of {tenant}/{number}")
                dal.line.insert(tenant_id=3 - tenant, invoice_id=invoice, words="of another")
                dal.reminder.insert(invoice_id=invoice)


def test_a_session_sees_its_tenant_and_the_next_one_on_its_connection_does_not(
    scoped: ScopedAccounts,
) -> None:
    _invoices(scoped)
    portal = scoped.service("portal", size=1)
    for tenant in (1, 2, 1):
        with portal.session(scope={"tenant": tenant}) as dal:
            invoice, line = dal.invoice, dal.line
            assert sorted(row.number for row in dal(invoice).select()) == [f"{tenant}/1", f"{tenant}/2"]
            joined = dal(line.invoice_id == invoice.id).select(invoice.number, line.words)
            assert sorted(row.line.words for row in joined) == [f"of {tenant}/1", f"of {tenant}/2"]
            first = dal(invoice.number == f"{tenant}/1").select().first()
            assert [row.words for row in first.line.select()] == [f"of {tenant}/1"]
            own = dal(line.words.startswith("of " + str(tenant))).select().first()
            assert own.invoice_id.number.startswith(f"{tenant}/")
            assert dal(invoice.tenant_id != tenant).update(amount=0) == 0
            assert dal(line.words == "of another").select(line.invoice_id).first().invoice_id.id
            with portal.session():
                assert dal(invoice).count() == 2
            with pytest.raises(CheckViolation), portal.session():
                invoice.insert(tenant_id=3 - tenant, number="x")
            assert dal(invoice).count() == 2
        with portal.session() as dal:
            assert dal(dal.invoice).isempty()
            assert dal(dal.line).count() == 0
            assert dal(dal.invoice).update(amount=0) == 0
            assert dal(dal.invoice).delete() == 0
        with pytest.raises(CheckViolation), portal.session() as dal:
            dal.invoice.insert(tenant_id=tenant, number="x")


def test_a_cascade_reaches_rows_that_the_account_does_not_see(scoped: ScopedAccounts) -> None:
    _invoices(scoped)
    with scoped.session("portal", {"tenant": 1}) as dal:
        assert dal(dal.invoice.number == "1/1").delete() == 1
        foreign = dal(dal.line.words == "of another").select().first()
        # A reference is checked among all rows, those of others too.
        assert dal.line.insert(tenant_id=1, invoice_id=int(foreign.invoice_id), words="new")
    with scoped.session("office") as dal:
        assert [dal(table).count() for table in (dal.invoice, dal.line, dal.reminder)] == [3, 7, 3]


def test_a_scope_that_must_be_bound(scoped: ScopedAccounts) -> None:
    _invoices(scoped)
    keeper = scoped.service("keeper")
    for needs in (
        lambda dal: dal(dal.invoice).select(),
        lambda dal: dal(dal.invoice).count(),
        lambda dal: dal.invoice.insert(tenant_id=1, number="x"),
        lambda dal: dal(dal.invoice).update(amount=0),
        lambda dal: dal(dal.invoice).delete(),
    ):
        with pytest.raises(InterfaceError, match="must bind holder"), keeper.session() as dal:
            needs(dal)
    with keeper.session() as dal:
        assert dal(dal.link).count() == 6
    with keeper.session(scope={"holder": 1}) as dal:
        assert dal(dal.invoice).update(amount=9) == 2
    with scoped.session("office") as dal:
        assert dal(dal.invoice.amount == 9).count() == 2


def test_two_tenants_on_one_pool(scoped: ScopedAccounts) -> None:
    _invoices(scoped)
    portal = scoped.service("portal")

    def work(number: int) -> set[str]:
        seen = set()
        for round_ in range(10):
            tenant = (number + round_) % 3  # 0 is a session that binds nothing
            with portal.session(scope={"tenant": tenant} if tenant else None) as dal:
                numbers = {row.number for row in dal(dal.invoice).select()}
                if numbers != ({f"{tenant}/1", f"{tenant}/2"} if tenant else set()):
                    seen.add(f"{tenant} saw {numbers}")
        return seen

    assert in_threads(6, work) == [set()] * 6
