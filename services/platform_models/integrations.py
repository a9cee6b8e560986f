"""Connections to other systems: owned by connector; `platform_integrations` is shared with the triggers."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from platform_models.base import Base
from platform_words import Platform
from ringfence.schema.models import CreatedUpdated, CreatedUpdatedDeleted, SyncTimes, UuidKey


class Integration(CreatedUpdatedDeleted, SyncTimes, Base):
    """One connection to another system, which is synchronised in windows of time."""

    __tablename__ = "integrations"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100))
    kind: Mapped[str] = mapped_column(sa.String(50), index=True)
    config: Mapped[dict[str, object]]


class Webhook(UuidKey, CreatedUpdated, Base):
    """An address that is called when something happens."""

    __tablename__ = "webhooks"

    integration_id: Mapped[int] = mapped_column(
        sa.ForeignKey("integrations.id", ondelete="CASCADE"), index=True
    )
    url: Mapped[str] = mapped_column(sa.String(2048))
    events: Mapped[list[str]]


class PlatformIntegration(CreatedUpdated, Base):
    """The token with which the platform acts on another one."""

    __tablename__ = "platform_integrations"
    __table_args__ = (sa.UniqueConstraint("platform", "account"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[Platform] = mapped_column(sa.Enum(Platform, name="platform"))
    account: Mapped[str] = mapped_column(sa.String(100))
    token: Mapped[str] = mapped_column(sa.String(512), info={"sensitive": True})
    active: Mapped[bool] = mapped_column(default=True)
    refreshed_at: Mapped[datetime | None]
