"""The tables of our own in the database: releases, journals, and which accounts are ours."""
