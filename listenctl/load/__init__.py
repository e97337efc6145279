"""Many simulated calls at once, measured."""
