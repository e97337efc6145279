"""Checks of the audio of a call."""
