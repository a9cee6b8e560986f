"""The revisions of a deployment: their order, what each does and retires, and the operations they may call."""
