"""The platform's schema: one module per area; `metadata` holds every table."""

from platform_models import accounts, discord, events, integrations, music
from platform_models.base import Base

metadata = Base.metadata

__all__ = ["accounts", "discord", "events", "integrations", "metadata", "music"]
