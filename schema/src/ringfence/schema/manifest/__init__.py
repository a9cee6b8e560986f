"""The manifest, `access.yaml`: its grammar, its rules, and their resolution against the tables of the models.

`grammar` declares the keys and the shapes of their values; both the parser and the JSON Schema `access.schema.json` are
made from it. `parsing` reads the file, `resolution` determines the grants of each account, `scopes` and `rows` handle
row scopes, and `guards` checks what the resulting privileges must satisfy.
"""
