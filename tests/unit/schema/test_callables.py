"""Functions that fill in defaults: read for what they give, and run by nobody."""

import datetime as dt
import functools
import secrets
import time
import uuid
from datetime import datetime, timezone

import pytest

from ringfence.runtime.values.generators import GENERATORS
from ringfence.schema.models.callables import GeneratorResult, Value, meaning

UTC = dt.UTC
AWAY = timezone(dt.timedelta(hours=2))


def utc_now():
    """The present moment."""
    return datetime.now(tz=UTC)


def naive(zone=UTC):
    return datetime.now(zone).replace(tzinfo=None)


def local(*, tz=None):
    return dt.datetime.now(tz)


def of_context(context):
    return str(uuid.uuid4())


def of_row(context):
    return context.get_current_parameters()["a"]


def in_steps(*, with_zone=True):
    """With or without."""
    made = datetime.now(UTC)
    if not with_zone:
        # the zone goes
        made = made.replace(tzinfo=None)
    return made


def by_the_clock():
    if time.time():
        return 1
    return 2


def with_side_effects():
    print("made")
    return 1


def without_end():
    made = 1  # noqa: F841


def endless():
    return endless()


def five():
    return 5


@functools.wraps(five)
def six():
    return five() + 1


def all_of_them(*given):
    return given


class Callable:
    def __call__(self):
        return 1


@pytest.mark.parametrize(
    ("function", "generator"),
    [
        (datetime.utcnow, "now_naive"),
        (datetime.now, "now_local"),
        (dt.date.today, "today_local"),
        (utc_now, "now"),
        (in_steps, "now"),
        (functools.partial(in_steps, with_zone=False), "now_naive"),
        (naive, "now_naive"),
        (local, "now_local"),
        (functools.partial(datetime.now, UTC), "now"),
        (functools.partial(local, tz=timezone.utc), "now"),  # noqa: UP017 - as people write it
        (functools.partial(functools.partial(local), tz=UTC), "now"),
        (lambda: utc_now().date(), "today"),
        (lambda: datetime.utcnow().replace(tzinfo=UTC), "now"),
        (time.time, "epoch"),
        (lambda: int(time.time()), "epoch_seconds"),
        (lambda: int(time.time() * 1000), "epoch_milliseconds"),
        (lambda: int(1000 * time.time()), "epoch_milliseconds"),
        (uuid.uuid4, "uuid4"),
        (lambda: uuid.uuid4().hex, "uuid4_hex"),
        (of_context, "uuid4_text"),
        (lambda: str(uuid.uuid4()).replace("-", "").lower(), "uuid4_hex"),
        (lambda context: uuid.uuid4(), "uuid4"),
        (dict, "empty_object"),
        (list, "empty_list"),
        (secrets.token_urlsafe, "token"),
        (functools.partial(secrets.token_urlsafe, 32), "token"),
    ],
)
def test_what_is_known_is_a_generator(function, generator):
    assert meaning(function) == GeneratorResult(generator)
    assert generator in GENERATORS


@pytest.mark.parametrize(
    ("function", "value"), [(lambda: 0, 0), (str, ""), (int, 0), (lambda: "x", "x"), (lambda: None, None)]
)
def test_a_constant_is_its_value(function, value):
    assert meaning(function) == Value(value)


@pytest.mark.parametrize(
    "function",
    [
        of_row,
        by_the_clock,
        with_side_effects,
        without_end,
        endless,
        Callable(),
        six,
        functools.partial(all_of_them, 1),
        max,
        functools.partial(local, tz=AWAY),
        functools.partial(secrets.token_urlsafe, 16),
        lambda: time.time() * 60,
        lambda: datetime.utcnow().replace(tzinfo=AWAY),
        lambda: datetime.now().replace(tzinfo=None, hour=1),
        lambda: open("/nowhere"),  # noqa: PTH123, SIM115 - which is not run
        lambda: UTC,
    ],
)
def test_what_is_not_exactly_known_is_not_guessed(function):
    assert meaning(function) is None
