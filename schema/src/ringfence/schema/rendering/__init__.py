"""Types, defaults and parts of tables as the Python source of revisions and models.

`types` renders for revisions, `model_types` and `table_parts` for files of `ringfence reflect`.
"""
