"""What Alembic's autogenerate writes for a deployment: revisions that run on every engine and that services survive."""
