"""Doors in: where events come from, and the one door that every event passes."""
