"""Splitting of a capture into one file per call."""
