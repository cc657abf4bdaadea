"""Pure nouns and laws: the standard library and msgspec; no clock, no input or output, no randomness."""
