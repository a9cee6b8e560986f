"""The service for events of Twitch; its account sees only the rows of Twitch."""

from pathlib import Path

MIRROR = Path(__file__).parents[1] / "mirrors" / "twitch-trigger.json"
