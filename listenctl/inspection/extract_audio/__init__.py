"""Extraction of the audio of captured calls to files."""
