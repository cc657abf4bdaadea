"""Doors out: actuators do and undo verbs in the world."""
