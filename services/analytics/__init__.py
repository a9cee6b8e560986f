"""What happened on the platform, in numbers: under an account that reads a few columns and writes nothing."""

from pathlib import Path

MIRROR = Path(__file__).parents[1] / "mirrors" / "analytics.json"
