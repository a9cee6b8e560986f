"""What the platform's web services share: problem documents, checked input, and how gunicorn runs them."""
