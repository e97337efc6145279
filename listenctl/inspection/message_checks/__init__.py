"""Checks of what both sides said: each compares messages with the rules."""
