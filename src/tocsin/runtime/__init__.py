"""Hosts: they run the laws and hold no rule of any domain."""
