"""The control socket of a server, and the tools attached to its calls."""
