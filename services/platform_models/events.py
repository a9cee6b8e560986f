"""What happened: backend-api and connector append, analytics reads, no service changes."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from platform_models.base import Base
from ringfence.schema.models import BigKey, generators


class Event(Base):
    """One thing that happened, never changed afterwards."""

    __tablename__ = "events"
    __table_args__ = (sa.Index(None, "kind", "occurred_at"),)

    id: Mapped[int] = mapped_column(BigKey(), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(50))
    source: Mapped[str] = mapped_column(sa.String(50))
    user_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("auth_user.id", ondelete="SET NULL"), index=True
    )
    payload: Mapped[dict[str, object]] = mapped_column(default=generators.empty_object)
    occurred_at: Mapped[datetime] = mapped_column(default=generators.now, index=True)
