"""Stored calls without packets: dumps, HAR files, recordings."""
