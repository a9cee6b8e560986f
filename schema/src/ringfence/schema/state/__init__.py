"""Ringfence's own tables in the database: the releases, the journals, and the managed accounts.

Every name of these tables begins with `ringfence_`.
"""
