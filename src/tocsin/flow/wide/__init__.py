"""The wide half of the data plane: columns, compiled kernels over plain arrays, the very values of the plain flow.

Every kernel takes arrays and 64-bit integers only, releases the interpreter's lock and is compiled once per
installation (``python -m tocsin.flow.wide.warm``). The plain modules of ``tocsin.flow`` are its oracle in tests, and
what runs where numba is not installed.
"""
