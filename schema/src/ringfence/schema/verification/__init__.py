"""Prove the manifest: log in as each account, and check what the database allows and refuses.

`verify` runs a proof. `attempts` has the statements that touch no row, `row_proofs` and `sample_rows` the attempts on
rows, `planned_changes` what no attempt can show, `probe` the proof in a separate database, and `revoked_credentials`
the logins that the server must refuse.
"""
