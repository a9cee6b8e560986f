"""A wait for a server ends when its timeout is over, and only then."""

import socket
import threading

import pytest

from ringfence.runtime.engines.network_timeouts import Bounded


class Wire:
    """A connection of which nothing is ever answered."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.closed = False

    def fileno(self) -> int:
        return self.ours.fileno()

    def close(self) -> None:
        self.closed = True
        self.ours.close()
        self.theirs.close()

    def severed(self) -> bool:
        """Whether an end was made of it: then there is an end to read."""
        self.ours.setblocking(False)
        try:
            return self.ours.recv(1) == b""
        except BlockingIOError:
            return False


def test_a_block_is_severed_when_its_time_is_up_whatever_came_before() -> None:
    long, short = Wire(), Wire()
    with Bounded(long, 60.0) as patient:  # the watcher sleeps until this one is due
        with pytest.raises(ConnectionError), Bounded(short, 0.05) as bounded:
            short.ours.recv(1)
            raise ConnectionError
        assert bounded.passed
        assert not long.severed()
    assert not patient.passed
    assert not long.severed()
    long.close()
    short.close()


def test_an_answer_in_time_leaves_the_connection_alone() -> None:
    wires = [Wire() for _ in range(8)]

    def work(wire: Wire) -> None:
        for _ in range(300):
            with Bounded(wire, 30.0) as bounded:
                pass
            assert not bounded.passed

    threads = [threading.Thread(target=work, args=(wire,)) for wire in wires]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [wire for wire in wires if wire.severed()]
    for wire in wires:
        wire.close()


def test_what_meets_its_end_is_either_severed_or_left_whole() -> None:
    for number in range(200):
        wire = Wire()
        with Bounded(wire, 0.0002 * (number % 5)) as bounded:
            pass
        assert bounded.passed == wire.closed  # severed as the answer came: it is of no further use
        if not wire.closed:
            assert not wire.severed()
            wire.close()
