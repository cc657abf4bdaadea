"""Desks: one domain each; ``catalogue`` lists them."""
