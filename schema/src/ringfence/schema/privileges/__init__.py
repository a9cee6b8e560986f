"""The accounts of a server and their privileges: the plan of an apply, and the apply."""
