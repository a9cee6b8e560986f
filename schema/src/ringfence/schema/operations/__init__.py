"""Operations of generated revisions, in addition to Alembic's own: enums, sequences, and variants that lock briefly.

They only say what is to be done; `revisions/online.py` runs them, and `engines/` says how on each engine.
"""
