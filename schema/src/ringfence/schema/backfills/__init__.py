"""Backfills: declared in files of the deployment, and run in batches while services keep running."""
