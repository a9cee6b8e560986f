"""Plan and apply the accounts of a server and their privileges."""
