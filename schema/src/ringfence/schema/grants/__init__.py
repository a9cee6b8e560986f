"""Privileges as sets, their difference, and the passwords of accounts; no server is asked."""
