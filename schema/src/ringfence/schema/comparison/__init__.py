"""Compare the models with a database, both as the server's catalog spells them, so that equal objects compare equal.

`snapshot` has the objects of a database, `differences` compares two snapshots, `deployment_diff` compares a database
with the models, and `operation_writer` turns the differences into operations of a revision.
"""
