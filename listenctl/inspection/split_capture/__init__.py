"""A capture split into one file for each call."""
