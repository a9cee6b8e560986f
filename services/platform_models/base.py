"""The root of the platform's models."""

import sqlalchemy as sa

from ringfence.schema import models


class Base(models.Base):
    """What every model of the platform starts from."""

    __abstract__ = True
    metadata = sa.MetaData(naming_convention=models.NAMING)
