"""Ringfence's own tables in the database: releases, journals, and the managed accounts."""
