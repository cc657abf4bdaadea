"""The rule machine: all rules of a group as one compact program over typed columns, run by one compiled kernel."""
