"""The only memory: journal of events, control records, keys, read models and model artefacts."""
