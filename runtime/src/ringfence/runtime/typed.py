"""The types that the stubs of `ringfence mirror` use. They exist for type checkers alone, which read `typed.pyi`."""
