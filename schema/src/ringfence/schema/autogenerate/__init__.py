"""Autogenerate for a deployment: revisions that run on every engine and do not break running services."""
