"""Comparison of models and database, both as the server's catalog spells them, so that equal objects compare equal."""
