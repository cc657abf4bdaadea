"""Every published figure as a command: ``python -m benchmarks NAME``."""
