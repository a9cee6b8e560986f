"""Prove the row scopes of an account: compare the rows it sees with the admin's count, and try writes on samples.

Existing rows serve as samples, one inside and one outside a scope. Each attempt runs as the account, through the
runtime, in a transaction that is rolled back.
"""

import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from ringfence.runtime import (
    AccessDenied,
    CheckViolation,
    Database,
    DataError,
    IntegrityError,
    NotNullViolation,
    RingfenceError,
    UsageError,
)
from ringfence.runtime.dal import upsert_probes
from ringfence.runtime.mirror import Column
from ringfence.runtime.mirror import names as field_names
from ringfence.schema.deployment import Deployment
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.manifest.scopes import columns as columns_of
from ringfence.schema.models.conditional import applies
from ringfence.schema.portability import is_unconditional_unique
from ringfence.schema.text import MessageCallback
from ringfence.schema.verification.proof import RollBack
from ringfence.schema.verification.sample_rows import (
    Row,
    RowMaker,
    Sample,
    SampleRows,
    Samples,
    insert_row,
    unique_keys,
)

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt: whether the manifest gives it, and whether it succeeded (None if unknown)."""

    verb: str
    table: str
    expected: bool
    succeeded: bool | None
    message: str


def has_row_scope(account: Account) -> bool:
    """Whether any grant of the account has a row scope."""
    return any(grant.scope is not None for grant in account.grants)


class _UnsuitableRow(str):
    """The reason why the table takes no such row: a made-up value, or one that the account must not give."""

    __slots__ = ()

    def __new__(cls, error: Exception) -> Self:
        return super().__new__(cls, error)


class RowProver:
    """Runs the attempts on the row scopes of one account.

    Args:
        database: opened as the account.
        account: its grants.
        deployment: the tables.
        admin: a connection that sees every row, in autocommit mode.
        warn: called with a message for each attempt for which there is no suitable row.
    """

    def __init__(
        self,
        database: Database,
        account: Account,
        deployment: Deployment,
        admin: sa.Connection,
        warn: MessageCallback,
    ) -> None:
        self._database = database
        self._account = account
        self._deployment = deployment
        self._samples = Samples(deployment, admin)
        self._maker = RowMaker(deployment, admin)
        self._warn = warn
        self._dialect = admin.dialect.name

    def outcomes(self) -> Iterator[Outcome]:
        """Run the attempts one by one and yield their outcomes."""
        for key, verbs in self._account.grants_by_table().items():
            table = self._deployment.tables[key]
            for verb, grant in verbs.items():
                if grant.scope is None:
                    continue
                select = verbs["select"].scope if "select" in verbs else None
                sample = self._samples.sample(table, grant.scope, select if verb != "select" else None)
                yield from self._unbound(key, table, grant)
                lacking = {"inside", "outside"}
                if sample is not None:
                    lacking -= {"inside"} if sample.inside is not None else set()
                    lacking -= {"outside"} if sample.outside else set()
                    yield from getattr(self, f"_{verb}")(key, table, grant, sample)
                made = self._sample_row(table, verbs, grant) if lacking else None
                if made is not None:
                    yield from self._try_sample_row(key, table, grant, made, lacking)
                for side in sorted(lacking):
                    self._warn_no_row(key, verb, f"row {side} its scope to try")

    def _warn_no_row(self, key: str, verb: str, what: str) -> None:
        self._warn(f"not proven: {self._account.service}: {verb} on {key}: there is no {what}")

    # -- rows that the account inserts itself, where the table has no sample

    def _sample_row(self, table: sa.Table, verbs: Mapping[str, Grant], grant: Grant) -> SampleRows | None:
        """Make a row that the account may insert and that is inside the scope of the grant; None if there is none."""
        insert = verbs.get("insert")
        also = [verbs["select"].scope] if "select" in verbs else []
        return None if insert is None else self._maker.make(table, insert, grant.scope, *also)

    def _try_sample_row(
        self, key: str, table: sa.Table, grant: Grant, made: SampleRows, lacking: set[str]
    ) -> Iterator[Outcome]:
        """Try a verb on a row inserted in the same transaction; each tried side is removed from `lacking`."""
        asks = grant.verb in ("update", "delete")
        if asks and not _can_filter_by_key(self._account, key, table):
            return
        if "inside" in lacking and (grant.verb != "update" or _changeable(table, grant)):
            what = f"a generated row inside its scope: {grant.verb}"
            tried = self._attempt(
                made.bound, functools.partial(self._run_on_sample_row, table=table, grant=grant, made=made)
            )
            if tried[0] is not None and not tried[1]:
                lacking.discard("inside")
                yield from self._outcome(grant.verb, key, True, what, tried)
        if "outside" in lacking and grant.verb == "insert" and made.outside is not None:
            outside = made.outside
            what = "a generated row outside its scope: an insert"
            tried = self._attempt(made.bound, lambda dal: self._insert_sample_row(dal, table, outside))
            # Another error does not show whether the scope refused the row.
            if tried[0] is not None and not tried[1]:
                lacking.discard("outside")
                yield from self._outcome("insert", key, False, what, tried)

    def _run_on_sample_row(self, dal: Any, *, table: sa.Table, grant: Grant, made: SampleRows) -> int:
        """Insert the row and run the grant's verb on it; returns the number of rows that the verb reached."""
        before = dal(self._table(dal, table)).count() if grant.verb == "select" else 0
        given = insert_row(self._database, dal, table, made.inside)
        if grant.verb == "insert":
            return 1
        if grant.verb == "select":
            return int(dal(self._table(dal, table)).count()) - int(before)
        row = dict(made.inside)
        keys = [str(column.name) for column in table.primary_key.columns]
        if len(keys) == 1 and keys[0] not in row:
            row[keys[0]] = given
        this = self._this(dal, table, row)
        if grant.verb == "delete":
            return int(this.delete())
        name = _changeable(table, grant)[0]
        return int(this.update(**self._fields(table, {name}, {name: self._maker.value(table.c[name])})))

    def _insert_sample_row(self, dal: Any, table: sa.Table, row: Row) -> int:
        insert_row(self._database, dal, table, row)
        return 1

    # -- attempts

    def _table(self, dal: Any, table: sa.Table) -> Any:
        return dal[field_names.table_name(str(table.name), table.schema)]

    def _columns(self, table: sa.Table) -> list[Column]:
        """Return the table's columns in the service's mirror."""
        key = field_names.table_name(str(table.name), table.schema)
        return list(self._database.mirror.tables[key].columns.values())

    def _fields(self, table: sa.Table, may: set[str], row: Row) -> dict[str, Any]:
        """Return the values of the columns that the account may write, by the names of their PyDAL fields."""
        columns = self._columns(table)
        return {c.field: row[c.name] for c in columns if c.name in may and (c.insertable or c.updatable)}

    def _this(self, dal: Any, table: sa.Table, row: Row) -> Any:
        """Return the PyDAL query for a row by its primary key."""
        made = self._table(dal, table)
        keys = {str(column.name) for column in table.primary_key.columns}
        equal = [made[c.field] == row[c.name] for c in self._columns(table) if c.name in keys]
        return dal(functools.reduce(operator.and_, equal))

    def _attempt(
        self, bound: Mapping[str, Any], work: Callable[[Any], int], *, deny_usage_errors: bool = False
    ) -> tuple[bool | None, str]:
        """Run `work` in a session that is rolled back.

        Args:
            bound: the values that the session binds.
            work: gets the DAL, and returns the number of rows that it reached.
            deny_usage_errors: whether a `UsageError` counts as a denial.

        Returns:
            Whether it reached a row (None if unknown), and a remark. A violated unique or foreign key counts as
            reached, because the scope let the row through.
        """
        try:
            with self._database.session(scope=bound) as dal:
                raise RollBack(work(dal))
        except RollBack as ended:
            return bool(ended.args[0]), ""
        except (CheckViolation, NotNullViolation, DataError) as error:
            outside = isinstance(error, CheckViolation) and error.constraint is None
            return (False, "") if outside else (None, _UnsuitableRow(error))
        except AccessDenied:
            return False, ""
        except IntegrityError:
            return True, "only another constraint refused it"
        except RingfenceError as error:
            return (False, "") if deny_usage_errors and isinstance(error, UsageError) else (None, str(error))

    def _outcome(
        self, verb: str, key: str, given: bool, what: str, tried: tuple[bool | None, str]
    ) -> Iterator[Outcome]:
        """Yield the outcome of an attempt; only warn if the table takes no such row from any account."""
        found, more = tried
        if isinstance(more, _UnsuitableRow):
            self._warn(f"not proven: {self._account.service}: {verb} on {key}: {what}: {more}")
            return
        if found is None:
            yield Outcome(verb, key, given, None, f"{what}: {more}")
            return
        result = "reaches" if found else "does not reach"
        yield Outcome(verb, key, given, found, f"{what} {result} it{': ' if more else ''}{more}")

    def _unbound(self, key: str, table: sa.Table, grant: Grant) -> Iterator[Outcome]:
        """Try to read without binding a scope, if every alternative of the scope needs a bound value."""
        parts = grant.scope or ()
        if grant.verb != "select" or not parts or not all(any(c.kind == "bound" for c in p) for p in parts):
            return
        tried = self._attempt({}, lambda dal: dal(self._table(dal, table)).count(), deny_usage_errors=True)
        yield from self._outcome("select", key, False, "a row: a session that binds nothing", tried)

    def _select(self, key: str, table: sa.Table, grant: Grant, sample: Sample) -> Iterator[Outcome]:
        seen, wanted = 0, 0
        for _ in range(_TRIES):  # other sessions may write between the counts
            wanted = self._samples.counted(table, sample.where)
            with self._database.session(read_only=True, scope=sample.bound) as dal:
                seen = dal(self._table(dal, table)).count()
            if seen == wanted == self._samples.counted(table, sample.where):
                break
        message = f"it sees {seen} rows, and {wanted} are inside its scope"
        # More rows than expected is an excess (not given, but found), fewer is a missing right (given, not found).
        yield Outcome("select", key, seen <= wanted, seen >= wanted, message)

    def _insert(self, key: str, table: sa.Table, grant: Grant, sample: Sample) -> Iterator[Outcome]:
        may = {str(c.name) for c in table.columns if grant.columns is None or c.name in grant.columns}
        if not columns_of(grant.scope) <= may:
            return
        if sample.inside is not None:
            inside = sample.inside
            tried = self._attempt(sample.bound, lambda dal: self._insert_fields(dal, table, may, inside))
            yield from self._outcome("insert", key, True, "a row inside its scope: an insert", tried)
        for outside in sample.outside:
            put = functools.partial(self._insert_fields, table=table, may=may, row=outside)
            what = "a row outside its scope: an insert"
            yield from self._outcome("insert", key, False, what, self._attempt(sample.bound, put))
        others = [g.scope for g in self._account.grants if g.key == key and g.verb in ("update", "delete")]
        if None in others:
            return
        target = self._samples.outside_all(table, others, sample.bound)
        for index in table.indexes:
            made = index.unique and not is_unconditional_unique(index) and applies(index, self._dialect)
            if made and {str(c.name) for c in index.columns} <= may:
                message = (
                    f"an upsert of a row outside its scope by the unique index {index.name} was not tried"
                )
                self._warn(f"not proven: {self._account.service}: insert on {key}: {message}")
        if target is None:
            self._warn_no_row(key, "insert", "row that an upsert must not reach")
        else:
            yield from self._conflicting_upserts(key, table, grant, may, sample, target)

    def _conflicting_upserts(
        self, key: str, table: sa.Table, grant: Grant, may: set[str], sample: Sample, outside: Row
    ) -> Iterator[Outcome]:
        """Try upserts and REPLACE that conflict, on a unique key, with a row that the account must not change.

        The new row is first a copy of that row, and then a row inside the scope with only the key of that row.
        """
        line = columns_of(grant.scope)
        for unique in unique_keys(table):
            if not set(unique) <= may or any(outside[name] is None for name in unique):
                continue
            rows = [outside]
            if sample.inside is not None and not line & set(unique):
                others = {name for other in unique_keys(table) for name in other} - set(unique) - line
                mixed = {
                    n: self._samples.distinct(table.c[n]) if n in others else v
                    for n, v in sample.inside.items()
                }
                rows.append(mixed | {name: outside[name] for name in unique})
            for row in rows:
                met, other = self._attempt(
                    sample.bound, functools.partial(self._insert_fields, table=table, may=may, row=row)
                )
                if met and not other:
                    # No conflict arose: a made-up value stands in for a stored sensitive one, so nothing is proven.
                    missing = f"value of ({', '.join(unique)}) by which an upsert could match a row outside its scope"
                    self._warn_no_row(key, "insert", missing)
                    continue
                # Building the statements needs an open session: literals are quoted for its connection.
                with self._database.session(scope=sample.bound) as dal:
                    words = [word for word, _ in self._upsert_forms(dal, table, may, unique, row)]
                for index, word in enumerate(words):
                    run = functools.partial(
                        self._upsert_onto_other_row, index=index, table=table, may=may, unique=unique, row=row
                    )
                    what = f"a row outside its scope: {word} on ({', '.join(unique)})"
                    yield from self._outcome(
                        "insert", key, False, what, self._attempt_conflicting_upsert(sample.bound, run)
                    )

    def _attempt_conflicting_upsert(
        self, bound: Mapping[str, Any], run: Callable[[Any], int]
    ) -> tuple[bool | None, str]:
        """Run a takeover; an integrity error counts as a denial, because it leaves the existing row unchanged."""
        found, more = self._attempt(bound, run)
        return (False, "") if found and more else (found, more)

    def _upsert_onto_other_row(
        self, dal: Any, *, index: int, table: sa.Table, may: set[str], unique: tuple[str, ...], row: Row
    ) -> int:
        _, sql = self._upsert_forms(dal, table, may, unique, row)[index]
        return int(self._database.current().execute(sql).rowcount)

    def _upsert_forms(
        self, dal: Any, table: sa.Table, may: set[str], unique: tuple[str, ...], row: Row
    ) -> list[tuple[str, str]]:
        known = {column.name: column.field for column in self._columns(table)}
        return list(
            upsert_probes(self._table(dal, table), [known[n] for n in unique], self._fields(table, may, row))
        )

    def _insert_fields(self, dal: Any, table: sa.Table, may: set[str], row: Row) -> int:
        made = self._table(dal, table)
        made.insert(**self._fields(table, may, row))
        return 1

    def _update(self, key: str, table: sa.Table, grant: Grant, sample: Sample) -> Iterator[Outcome]:
        plain = _changeable(table, grant)
        if not plain:
            return

        def change(dal: Any, *, row: Row) -> int:
            return int(self._this(dal, table, row).update(**self._fields(table, {plain[0]}, row)))

        yield from self._both("update", key, table, sample, change)

    def _delete(self, key: str, table: sa.Table, grant: Grant, sample: Sample) -> Iterator[Outcome]:
        def remove(dal: Any, *, row: Row) -> int:
            return int(self._this(dal, table, row).delete())

        yield from self._both("delete", key, table, sample, remove)

    def _both(
        self, verb: str, key: str, table: sa.Table, sample: Sample, act: Callable[..., int]
    ) -> Iterator[Outcome]:
        sides = [(True, row) for row in (sample.inside,) if row is not None]
        for given, row in sides + [(False, row) for row in sample.outside]:
            if not _can_filter_by_key(self._account, key, table):
                self._warn_no_row(
                    key, verb, "key of it that the account may read, by which a row could be tried"
                )
                return
            what = f"a row {'inside' if given else 'outside'} its scope: {verb}"
            yield from self._outcome(
                verb, key, given, what, self._attempt(sample.bound, functools.partial(act, row=row))
            )


def _changeable(table: sa.Table, grant: Grant) -> list[str]:
    """Return the columns that an UPDATE may set without leaving the scope; sensitive ones last."""
    line = columns_of(grant.scope)
    may = [str(c.name) for c in table.columns if grant.columns is None or c.name in grant.columns]
    free = [n for n in may if n not in line and not table.c[n].primary_key and table.c[n].computed is None]
    return sorted(free, key=lambda name: bool(table.c[name].info.get("sensitive")))


def _can_filter_by_key(account: Account, key: str, table: sa.Table) -> bool:
    """Whether the account may read the primary key, so that a single row can be selected."""
    readable = next((g for g in account.grants if (g.key, g.verb) == (key, "select")), None)
    keys = {str(column.name) for column in table.primary_key.columns}
    return bool(keys) and readable is not None and (readable.columns is None or keys <= set(readable.columns))
