"""The web: intake (raw ASGI hot path), console API, live notices, sign-in, metrics, and the console's files."""
