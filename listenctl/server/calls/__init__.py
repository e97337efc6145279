"""The live calls of a server: their log, their events, and finding one by name."""
