"""The console API, one module a noun."""
