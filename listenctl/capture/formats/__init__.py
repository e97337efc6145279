"""Stored calls other than packets: dumps, HAR files, recordings."""
