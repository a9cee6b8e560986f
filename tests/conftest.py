"""Fixtures for every test: running servers and fresh databases on them."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["servers.plugin"]

# A busy machine is no failure.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
