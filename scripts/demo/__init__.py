"""The demonstration: from an empty database to running services, and operations that must be refused."""
