"""The demonstration: from an empty database to services that are refused what they were not given."""
