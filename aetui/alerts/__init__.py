"""What a run says by itself: which of its events are worth it, and the ways to whoever is elsewhere."""
