"""Recording calls on a server: the writer thread, sidecars, pipes, conversion."""
