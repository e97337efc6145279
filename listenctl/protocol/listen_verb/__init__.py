"""The listen verb, and how to find it in an application."""
