"""Checks of how a call sounds."""
