"""The demo store: a small simulated shop that can be broken on purpose. Only this package knows a drill's truth."""
