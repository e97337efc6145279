"""The live calls of a server: their log, their levels and their events."""
