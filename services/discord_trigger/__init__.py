"""The service for events of Discord; its account sees only the rows of Discord."""

from pathlib import Path

MIRROR = Path(__file__).parents[1] / "mirrors" / "discord-trigger.json"
