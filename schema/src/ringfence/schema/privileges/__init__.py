"""Plan and apply the accounts of a server and their privileges, so that they match the manifest.

`plan` compares the manifest with the server, `apply` sends the statements, `ordering` sorts them, `adoption` takes
over existing accounts, and `service` is what the command line calls.
"""
