"""Numbers and text, named by technique; these modules have never heard of events or desks."""
