"""`listenctl serve` and `listenctl record`."""
