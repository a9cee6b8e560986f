"""The rows: made the same in every run, with microseconds, cents, and both booleans."""

import datetime as dt
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
START = dt.datetime(2024, 2, 29, 11, 59, 58, 123456, tzinfo=dt.UTC)

# Table -> column -> what kind of value it holds; `raw` decodes and encodes by this, the comparison names columns by it.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "item": {"id": "int", "ident": "uuid", "price": "decimal", "active": "bool", "made": "moment"},
    "wide": {
        "id": "int", "ident": "uuid", "email": "str", "name": "str", "street": "str", "city": "str", "zip": "str",
        "country": "str", "note": "str", "visits": "int", "score": "int", "level": "int", "points": "int",
        "ratio": "float", "balance": "decimal", "price": "decimal", "active": "bool", "verified": "bool",
        "made": "moment", "changed": "moment",
    },
    "maker": {"id": "int", "name": "str", "country": "str"},
    "product": {"id": "int", "maker_id": "int", "name": "str", "price": "decimal"},
    "sale": {"id": "int", "product_id": "int", "quantity": "int", "sold_at": "moment"},
    "counter": {"name": "str", "value": "int", "changed": "moment"},
}  # fmt: skip
ITEM = tuple(COLUMNS["item"])
NEW = ITEM[1:]
WIDE = tuple(COLUMNS["wide"])
JOINED: Mapping[str, str] = {
    "sale_id": "int", "quantity": "int", "sold_at": "moment", "product": "str", "price": "decimal", "maker": "str",
}  # fmt: skip
"""What the join of three brings: sale.id, sale.quantity, sale.sold_at, product.name, product.price, maker.name."""


@dataclass(frozen=True)
class Sizes:
    """How many rows each case handles."""

    listed: int = 1_000
    wide: int = 10_000
    joined: int = 1_000
    inserted: int = 10_000
    streamed: int = 1_000_000
    tables: int = 200
    """Tables of 25 columns of the cold start."""
    requests: int = 1_000
    """Concurrent requests of the asyncio case."""


FULL = Sizes()
QUICK = Sizes(listed=1_000, wide=1_000, joined=300, inserted=1_000, streamed=20_000, tables=50, requests=200)
TINY = Sizes(listed=20, wide=20, joined=20, inserted=30, streamed=50, tables=3, requests=15)


def replaced(sizes: Sizes, **changes: int) -> Sizes:
    """Sizes with some of them changed."""
    return replace(sizes, **changes)


def items(count: int, seed: int = 1) -> list[Row]:
    """Rows of `item`, without the key."""
    dice = random.Random(seed)  # noqa: S311  # no secrets are made of it
    return [
        {
            "ident": uuid.UUID(int=dice.getrandbits(128), version=4),
            "price": Decimal(dice.randrange(1, 10_000_000)).scaleb(-2),
            "active": number % 3 != 0,
            "made": START + dt.timedelta(seconds=number, microseconds=number % 1000),
        }
        for number in range(count)
    ]


def wides(count: int) -> list[Row]:
    """Rows of `wide`, with the key."""
    dice = random.Random(2)  # noqa: S311  # no secrets are made of it
    return [
        {
            "id": number + 1,
            "ident": uuid.UUID(int=dice.getrandbits(128), version=4),
            "email": f"user{number}@example.com",
            "name": f"Zoë Müller {number}",
            "street": f"Long Street {number}",
            "city": "Springfield",
            "zip": f"{number:05}",
            "country": "NZ",
            "note": None if number % 4 else f"note {number}",
            "visits": number,
            "score": dice.randrange(1000),
            "level": number % 7,
            "points": dice.randrange(10**12),
            "ratio": dice.random(),
            "balance": Decimal(dice.randrange(1, 10_000_000)).scaleb(-2),
            "price": Decimal(dice.randrange(1, 10_000_000)).scaleb(-2),
            "active": number % 2 == 0,
            "verified": number % 5 == 0,
            "made": START + dt.timedelta(seconds=number),
            "changed": START + dt.timedelta(minutes=number, microseconds=number % 1000),
        }
        for number in range(count)
    ]


def shop(count: int) -> Iterator[tuple[str, list[Row]]]:
    """The three joined tables, in the order in which they can be filled."""
    makers, products = max(count // 100, 1), max(count // 10, 1)
    yield "maker", [{"id": n + 1, "name": f"Maker {n}", "country": "FR"} for n in range(makers)]
    yield (
        "product",
        [
            {
                "id": n + 1,
                "maker_id": n % makers + 1,
                "name": f"Product {n}",
                "price": Decimal(n * 7 + 1).scaleb(-2),
            }
            for n in range(products)
        ],
    )
    yield (
        "sale",
        [
            {
                "id": n + 1,
                "product_id": n % products + 1,
                "quantity": n % 9 + 1,
                "sold_at": START + dt.timedelta(hours=n),
            }
            for n in range(count)
        ],
    )


def counters(count: int = 100) -> list[Row]:
    """Rows of `counter`, without the key."""
    return [{"name": f"counter {n}", "value": n, "changed": START} for n in range(count)]
