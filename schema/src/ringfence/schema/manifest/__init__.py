"""The manifest, `access.yaml`: its grammar, its rules, and what they mean for the tables of the models."""
