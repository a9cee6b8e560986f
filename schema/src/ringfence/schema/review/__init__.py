"""The manifest read before any server is asked: its lint, and what a version of it changes."""
