"""What a driver's error says, in one line."""

import sqlalchemy as sa


def first_line(error: sa.exc.DBAPIError) -> str:
    """What the driver says, in one line and without the statement."""
    return " ".join(str(error.orig).split("\n", 1)[0].split())
