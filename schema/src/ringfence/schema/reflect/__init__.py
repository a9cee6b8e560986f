"""Tables of an old database, written as a Python file of models."""
