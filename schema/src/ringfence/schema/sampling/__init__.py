"""Rows for tests and proofs, and the database that they are put in."""
