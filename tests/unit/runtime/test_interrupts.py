"""Which exceptions a driver met on the wire, and which came from a signal's handler while it waited."""

import types
from collections.abc import Callable

import pymysql
import pytest

from ringfence.runtime.interrupts import interrupt_of


def _raising(module: str) -> Callable[[], None]:
    """A function of that module, which raises a TimeoutError."""
    made = types.ModuleType(module)
    exec("def wait():\n    raise TimeoutError('timed out')", made.__dict__)  # noqa: S102  # so that it is that module's
    wait: Callable[[], None] = made.__dict__["wait"]
    return wait


def _met_by_pymysql(wait: Callable[[], None]) -> BaseException:
    """What PyMySQL raises when that came as it read."""
    made = types.ModuleType("pymysql.connections")
    made.__dict__.update(wait=wait, lost=pymysql.err.OperationalError)
    source = "def read():\n    try:\n        wait()\n    except OSError as error:\n        raise lost(2013, 'lost') from error"
    exec(source, made.__dict__)  # noqa: S102  # so that its frame is of the driver
    with pytest.raises(pymysql.Error) as caught:
        made.__dict__["read"]()
    return caught.value


@pytest.mark.parametrize("module", ["socket", "ssl", "gevent._socketcommon", "eventlet.greenio.base"])
def test_a_time_out_of_the_network_is_the_drivers(module: str) -> None:
    assert interrupt_of(_met_by_pymysql(_raising(module)), pymysql.Error) is None


@pytest.mark.parametrize("module", ["__main__", "billiard.pool", "worker.tasks"])
def test_a_time_out_of_a_signals_handler_is_not(module: str) -> None:
    assert isinstance(interrupt_of(_met_by_pymysql(_raising(module)), pymysql.Error), TimeoutError)
