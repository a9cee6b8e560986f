"""What gunicorn serves."""

from analytics.application import create_app

app = create_app()
