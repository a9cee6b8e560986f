"""Songs, who played and liked them, and what people prefer: owned by jukebox."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from platform_models.base import Base
from ringfence.schema.models import BigKey, CreatedUpdated, generators


class Song(CreatedUpdated, Base):
    """One song."""

    __tablename__ = "songs"
    __table_args__ = (sa.Index(None, "artist", "title"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(200))
    artist: Mapped[str] = mapped_column(sa.String(200))
    length: Mapped[timedelta | None]


class Play(Base):
    """One time that a song was played."""

    __tablename__ = "play_history"

    id: Mapped[int] = mapped_column(BigKey(), primary_key=True)
    song_id: Mapped[int] = mapped_column(sa.ForeignKey("songs.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("auth_user.id", ondelete="CASCADE"), index=True)
    played_at: Mapped[datetime] = mapped_column(default=generators.now, index=True)


class Favorite(Base):
    """A song that a user likes; each song once per user."""

    __tablename__ = "favorites"
    __table_args__ = (sa.UniqueConstraint("user_id", "song_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("auth_user.id", ondelete="CASCADE"))
    song_id: Mapped[int] = mapped_column(sa.ForeignKey("songs.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=generators.now)


class Preference(CreatedUpdated, Base):
    """The music that a user prefers, by mood."""

    __tablename__ = "preferences"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("auth_user.id", ondelete="CASCADE"), unique=True)
    moods: Mapped[list[str]] = mapped_column(default=generators.empty_list)
    loudness: Mapped[int] = mapped_column(sa.SmallInteger, default=50)
