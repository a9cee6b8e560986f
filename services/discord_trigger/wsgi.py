"""What gunicorn serves."""

from discord_trigger.application import create_app

app = create_app()
