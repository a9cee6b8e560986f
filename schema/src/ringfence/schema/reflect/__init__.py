"""Write the tables of an existing database as a Python file of models."""
