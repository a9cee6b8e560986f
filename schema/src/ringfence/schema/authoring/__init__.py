"""Write files that are then maintained by hand.

`revise` writes new revisions from the models, `scaffold` the files of a new deployment.
"""
