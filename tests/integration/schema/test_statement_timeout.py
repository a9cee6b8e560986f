"""A query of the admin side that takes too long is ended by the server, on every engine."""

import time

import pytest
import sqlalchemy as sa

from ringfence.schema.engines.statement_timeouts import bounded

# Of a CROSS JOIN, for MySQL's sleep() is ended without an error.
SLOW = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT count(*) FROM n a, n b, n c"


def test_a_slow_look_is_ended(backend):
    began = time.monotonic()
    with bounded(backend.engine(), 0.3) as connection, pytest.raises(sa.exc.DBAPIError):
        connection.exec_driver_sql(SLOW).scalar()
    assert time.monotonic() - began < 20  # 729 million rows would take minutes
    with bounded(backend.engine(), 5) as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
