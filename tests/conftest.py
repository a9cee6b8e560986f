"""Fixtures for every test: running servers and fresh databases on them."""

pytest_plugins = ["servers.plugin"]
