"""Dumping every frame of every call."""
