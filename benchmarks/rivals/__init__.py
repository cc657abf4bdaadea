"""What others make of the same work: 22 keyed windows of every event, their values per event."""
