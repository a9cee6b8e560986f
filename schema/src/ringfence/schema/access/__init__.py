"""Who may touch what: read from the manifest, compared, applied and proven."""
