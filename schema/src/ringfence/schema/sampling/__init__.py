"""Sample rows for tests and proofs, and clearing the database that holds them."""
