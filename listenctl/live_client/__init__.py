"""A tool on a live call: the control socket of a running server, from the client side."""
