"""Many simulated calls at once, and their measurements."""
