"""The public API of the platform: users and events, under the account backend-api."""

from pathlib import Path

MIRROR = Path(__file__).parents[1] / "mirrors" / "backend-api.json"
