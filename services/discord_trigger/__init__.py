"""What Discord tells the platform: under an account that sees the rows of Discord alone."""

from pathlib import Path

MIRROR = Path(__file__).parents[1] / "mirrors" / "discord-trigger.json"
