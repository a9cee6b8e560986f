"""What Twitch tells the platform: under an account that sees the rows of Twitch alone."""

from pathlib import Path

MIRROR = Path(__file__).parents[1] / "mirrors" / "twitch-trigger.json"
