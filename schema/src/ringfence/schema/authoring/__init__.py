"""Write files that are then maintained by hand: new revisions, and the layout of a new deployment."""
