"""Words that the models and the services share; no SQLAlchemy, so that a service may have them."""

import enum


class Platform(enum.Enum):
    """The platforms that tokens are for; the name is what is stored."""

    twitch = "twitch"
    discord = "discord"
    youtube = "youtube"
