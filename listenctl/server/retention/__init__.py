"""Recordings that are deleted after a time, or when there are too many bytes of them."""
