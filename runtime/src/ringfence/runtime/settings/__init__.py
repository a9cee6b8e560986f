"""The settings of a database connection, read from the environment and checked."""

from ringfence.runtime.settings.settings import Credentials, Host, Login, Secret, Settings

__all__ = ["Credentials", "Host", "Login", "Secret", "Settings"]
