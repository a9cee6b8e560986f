"""Proof of migrations: every revision up, down and up again with rows, and old services on each new schema."""
