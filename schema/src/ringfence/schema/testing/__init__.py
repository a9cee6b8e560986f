"""Tests of migrations: every revision up, down and up again with rows, and old services on each new schema.

`migrations` runs the tests, `services` tries what a mirror allows, and `pytest_plugin` provides them as a fixture.
"""
