"""The options that each of Ringfence's own tables has on MySQL and MariaDB."""

from typing import Any

INNODB_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}
"""Keyword arguments of `sa.Table`: transactional, and with every character, whatever the server's defaults are."""
