"""Ringfence beside the bare driver and other libraries: what each costs for the same query and the same types."""
