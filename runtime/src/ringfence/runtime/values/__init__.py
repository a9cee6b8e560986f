"""The portable types: what each takes, and how it is written and read."""

from ringfence.runtime.values.values import INTEGER_BITS, JSON_NULL, UNLIMITED, from_document

__all__ = ["INTEGER_BITS", "JSON_NULL", "UNLIMITED", "from_document"]
