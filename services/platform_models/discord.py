"""Discord users and their tokens: owned by discord-link."""

import uuid

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from platform_models.base import Base
from ringfence.schema.models import CreatedUpdatedDeleted, SyncTimes, UuidKey, generators


class DiscordUser(UuidKey, CreatedUpdatedDeleted, SyncTimes, Base):
    """A Discord user who linked an account."""

    __tablename__ = "discord_user"

    discord_id: Mapped[str] = mapped_column(sa.String(32), unique=True)
    name: Mapped[str] = mapped_column(sa.String(100))


class DiscordUserToken(UuidKey, CreatedUpdatedDeleted, Base):
    """The one token of a Discord user."""

    __tablename__ = "discord_user_token"

    token: Mapped[str] = mapped_column(
        sa.String(255),
        unique=True,
        default=generators.token,
        info={"sensitive": True},
    )
    discord_user_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("discord_user.id", ondelete="CASCADE"),
        unique=True,
    )
