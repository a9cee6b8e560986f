"""The revisions of a deployment: their order, what each does and retires, and the operations they may call.

`scripts`, `heads` and `selection` read the files, `recording` replays a revision without a database, `contract` reads
what it retires, and `online` has the operations that revisions call in addition to `op`.
"""
