"""Write the tables of an existing database as a Python file of models, and compare what the file would create."""
