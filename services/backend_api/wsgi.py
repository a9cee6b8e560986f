"""What gunicorn serves."""

from backend_api.application import create_app

app = create_app()
