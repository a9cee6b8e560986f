"""Files that a person keeps: new revisions, and the layout of a new deployment."""
