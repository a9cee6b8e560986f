"""Keys of tables, `table` or `schema.table`, as the models, the manifest and `Deployment.tables` write them."""

import sqlalchemy as sa


def key_of(schema: str | None, table: str) -> str:
    """Write the key of a table.

    Args:
        schema: the table's schema; None or "" for the default one.
        table: the table's name.
    """
    return f"{schema}.{table}" if schema else table


def split_key(key: str) -> tuple[str | None, str]:
    """Split a key into the schema, None for the default one, and the table's name.

    Args:
        key: as `key_of` writes it.
    """
    schema, _, table = key.rpartition(".")
    return schema or None, table


def referred_table(reference: sa.ForeignKey) -> str:
    """The key of the table that a foreign key refers to, also where that table is not in the models.

    Args:
        reference: one column of the foreign key.
    """
    return reference.target_fullname.rpartition(".")[0]


def referred_column(reference: sa.ForeignKey) -> str:
    """The name of the column that a foreign key refers to, also where its table is not in the models.

    Args:
        reference: one column of the foreign key.
    """
    return reference.target_fullname.rpartition(".")[2]
