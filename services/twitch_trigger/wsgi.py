"""What gunicorn serves."""

from twitch_trigger.application import create_app

app = create_app()
