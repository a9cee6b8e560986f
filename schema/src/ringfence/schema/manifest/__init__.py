"""The manifest, `access.yaml`: its grammar, its rules, and their resolution against the tables of the models."""
