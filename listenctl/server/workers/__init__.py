"""Several processes that serve one port: one parent, and workers, each of which is a server of its own."""
