"""The commands for live calls, each in a module named after it."""
