"""Proof of the manifest: logins as each account, and what each is allowed and refused."""
