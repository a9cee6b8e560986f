"""The models beside the database: both as the server's own catalog spells them, so that equal means equal."""
