"""Backfills: give existing rows new values, in batches, while services keep running.

`declared` reads the files of the deployment in `migrations/backfills/`, and `run` executes them.
"""
