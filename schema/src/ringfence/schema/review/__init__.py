"""Checks of the manifest that need no server: its lint, and the comparison of two of its versions."""
