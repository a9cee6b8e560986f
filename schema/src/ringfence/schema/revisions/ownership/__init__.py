"""Finds out which objects of a database were created by migrations."""
