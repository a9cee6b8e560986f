"""What stock PyDAL does to values, and Ringfence does not."""

import datetime as dt
import uuid

import pytest

from support.pydal_sides import Side, case

TYPES = "Types"
STRICT = "Session state"
EAST = dt.timezone(dt.timedelta(hours=2))
NETWORKED = ("postgresql", "mariadb", "galera", "mysql")


def admin(side: Side, sql: str) -> list[tuple]:
    """The rows of one statement, through the driver alone."""
    return [tuple(row) for row in side.database.execute(sql)]


def insert_moment(side: Side) -> dt.datetime:
    """Store 2024-02-29 10:00:00.123456 UTC through the driver alone."""
    zone = "+00" if side.engine == "postgresql" else ""
    side.database.execute(f"INSERT INTO specimen (moment) VALUES ('2024-02-29 10:00:00.123456{zone}')")
    return dt.datetime(2024, 2, 29, 10, 0, 0, 123456, dt.UTC)


@case(TYPES, "a datetime keeps its microseconds")
def test_microseconds(side: Side) -> None:
    given = dt.datetime(2024, 2, 29, 12, 0, 0, 123456)
    with side.session() as dal:
        key = dal.specimen.insert(naive=given)
        assert dal.specimen[key].naive == given


@case(TYPES, "12:00+02:00 is stored as the moment it is")
def test_offset(side: Side) -> None:
    with side.session() as dal:
        dal.specimen.insert(moment=dt.datetime(2024, 7, 1, 12, 0, tzinfo=EAST))
    [(stored,)] = admin(side, "SELECT CAST(moment AS CHAR(19)) FROM specimen")
    assert str(stored).startswith("2024-07-01 10:00:00")


@case(TYPES, "a datetime comes back as the aware moment it was")
def test_aware(side: Side) -> None:
    given = dt.datetime(2024, 7, 1, 12, 0, tzinfo=EAST)
    with side.session() as dal:
        key = dal.specimen.insert(moment=given)
        assert dal.specimen[key].moment == given


@case(TYPES, "a datetime in WHERE is the moment it is")
def test_moment_in_where(side: Side) -> None:
    moment = insert_moment(side)
    with side.session() as dal:
        assert dal(dal.specimen.moment == moment.astimezone(EAST)).count() == 1


@case(TYPES, "True is what the engine takes for true", copes=("postgresql",))
def test_boolean(side: Side) -> None:
    with side.session() as dal:
        dal.specimen.insert(boolean=True)
    true = "boolean" if side.engine == "postgresql" else "boolean = 1"
    assert admin(side, f"SELECT COUNT(*) FROM specimen WHERE {true}") == [(1,)]


@case(TYPES, "bytes that another program stored are read as they are")
def test_bytes_read(side: Side) -> None:
    literal = "'\\x00ff27'::bytea" if side.engine == "postgresql" else "X'00ff27'"
    side.database.execute(
        f"INSERT INTO specimen (blob) VALUES ({literal})".replace("(blob)", f"({quoted(side, 'blob')})")
    )
    with side.session() as dal:
        assert dal(dal.specimen).select().first().blob == b"\x00\xff'"


@case(TYPES, "bytes are stored as they are")
def test_bytes_written(side: Side) -> None:
    with side.session() as dal:
        dal.specimen.insert(blob=b"\x00\xff'")
    [(stored,)] = admin(side, f"SELECT {quoted(side, 'blob')} FROM specimen")
    assert bytes(stored) == b"\x00\xff'"


def quoted(side: Side, name: str) -> str:
    """An identifier that is a word of MySQL's."""
    return f"`{name}`" if side.database.server.db_type == "mysql" else f'"{name}"'


@case(TYPES, "a UUID comes back as a UUID")
def test_uuid(side: Side) -> None:
    given = uuid.UUID("12345678-1234-5678-1234-567812345678")
    with side.session() as dal:
        key = dal.specimen.insert(ident=given)
        assert dal.specimen[key].ident == given


@case(TYPES, "an empty text is not a label of an enum", copes=("postgresql",))
def test_enum(side: Side) -> None:
    with pytest.raises(Exception, match=""), side.session() as dal:  # each side has an error of its own
        dal.specimen.insert(mood="")


@case(TYPES, "0 and the empty text of a type of one's own are kept")
def test_custom_type(side: Side) -> None:
    with side.session() as dal:
        table = dal.custom if side.name == "stock" else dal.specimen
        key = table.insert(whole=0, name="")
    assert admin(side, f"SELECT whole, name FROM specimen WHERE id = {int(key)}") == [(0, "")]


@case(TYPES, "a text of four-byte characters is kept", copes=("postgresql", "sqlite"))
def test_emoji(side: Side) -> None:
    with side.session() as dal:
        key = dal.specimen.insert(name="😀𝄞")
        assert dal.specimen[key].name == "😀𝄞"


@case(TYPES, "a text that is too long is refused", copes=("postgresql",))
def test_too_long(side: Side) -> None:
    with pytest.raises(Exception, match=""), side.session() as dal:
        dal.specimen.insert(name="x" * 41)


@case(TYPES, "a number that is too large is refused", copes=("postgresql",))
def test_too_large(side: Side) -> None:
    with pytest.raises(Exception, match=""), side.session() as dal:
        dal.specimen.insert(small=99_999)


@pytest.mark.engines("mysql", "mariadb", "galera")
@case(STRICT, "literals are quoted for the session's current escape mode")
def test_escape_mode(side: Side) -> None:
    hostile = "it\\'s \\"
    with side.session() as dal:
        [(mode,)] = dal.executesql("SELECT @@SESSION.sql_mode")
        other = (
            "STRICT_ALL_TABLES"
            if "NO_BACKSLASH_ESCAPES" in mode
            else "STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES"
        )
        dal._adapter.connection.cursor().execute(f"SET SESSION sql_mode = '{other}'")
        key = dal.specimen.insert(name=hostile)
        assert dal(dal.specimen.name == hostile).select().first().id == key
        assert dal.specimen[key].name == hostile


@pytest.mark.engines("mysql", "mariadb", "galera")
@case(STRICT, "the session is strict")
def test_strict(side: Side) -> None:
    with side.session() as dal:
        [(mode,)] = dal.executesql("SELECT @@SESSION.sql_mode")
    assert "STRICT_" in mode


@pytest.mark.slow
@pytest.mark.engines("mysql", "mariadb", "galera")
@case(STRICT, "a query may take longer than half a minute")
def test_long_query(side: Side) -> None:
    with side.session() as dal:
        dal.executesql("SELECT 1")
        # PyMySQL has no public name for the seconds after which it closes the connection.
        assert dal._adapter.connection._read_timeout is None  # noqa: SLF001
        if side.engine == "mariadb":  # once is enough to see it
            assert dal.executesql("SELECT SLEEP(31)")[0][0] == 0
