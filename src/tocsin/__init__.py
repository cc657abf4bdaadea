"""Tocsin, the emergency desk of an online store.

One closed loop: collect -> assess -> respond -> monitor -> collect.
"""

__version__ = "0.1.0"
