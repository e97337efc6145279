"""Stored traffic: what dumps and packet captures hold, read whatever their state."""
