"""The revisions of a deployment: which there are, what each does and retires, and the operations they may call."""
