"""Privileges as sets: what is wanted less what is held, and the passwords of accounts. No server is asked."""
