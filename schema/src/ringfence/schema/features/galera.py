"""The facts about MariaDB Galera Cluster, in addition to those about MariaDB."""

from dataclasses import replace

from ringfence.schema.features import mariadb

FEATURES = replace(mariadb.FEATURES, name="galera", needs_primary_keys=True, is_cluster=True)
