"""Who may log in to the platform, with their sessions and settings: owned by backend-api."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from platform_models.base import Base
from ringfence.schema.models import CreatedUpdated, LongText, generators


class AuthUser(Base):
    """One person who may log in."""

    __tablename__ = "auth_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(255), unique=True)
    password: Mapped[str] = mapped_column(sa.String(255), info={"sensitive": True, "password": True})
    active: Mapped[bool] = mapped_column(default=True)
    fs_uniquifier: Mapped[str] = mapped_column(sa.String(64), unique=True)
    confirmed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=generators.now, index=True)
    newsletter: Mapped[bool] = mapped_column(default=False, server_default=sa.false())


class Session(CreatedUpdated, Base):
    """A web session, with or without a logged-in user."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("auth_user.id", ondelete="CASCADE"), index=True)
    data: Mapped[str] = mapped_column(LongText())
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Setting(CreatedUpdated, Base):
    """One setting of the platform, by name."""

    __tablename__ = "settings"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    value: Mapped[dict[str, object]]
