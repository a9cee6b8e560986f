"""The root of the platform's models."""

import sqlalchemy as sa

from ringfence.schema.models import base


class Base(base.Base):
    """What every model of the platform starts from."""

    __abstract__ = True
    metadata = sa.MetaData(naming_convention=base.NAMING)
