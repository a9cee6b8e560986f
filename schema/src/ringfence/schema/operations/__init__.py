"""Operations for generated revisions, beside Alembic's own."""
