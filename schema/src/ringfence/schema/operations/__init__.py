"""The operations of Alembic that generated revisions use beside Alembic's own."""
