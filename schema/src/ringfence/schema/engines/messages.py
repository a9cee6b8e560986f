"""The texts of drivers' errors."""

import sqlalchemy as sa


def first_line(error: sa.exc.DBAPIError) -> str:
    """Return the first line of the driver's message, without the statement."""
    return " ".join(str(error.orig).split("\n", 1)[0].split())
