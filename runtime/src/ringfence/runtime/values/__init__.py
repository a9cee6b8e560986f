"""The portable types: which values each accepts, and how they are written and read.

`codecs` converts values, `parameters` checks the parameters of the program, and `generators` creates values for
defaults.
"""

from ringfence.runtime.values.values import INTEGER_BITS, JSON_NULL, UNLIMITED, from_document

__all__ = ["INTEGER_BITS", "JSON_NULL", "UNLIMITED", "from_document"]
