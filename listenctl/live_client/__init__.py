"""The client of the control socket of a running server: list, follow and join live calls."""
