"""Prove the manifest: log in as each account and check what the database allows and refuses."""
