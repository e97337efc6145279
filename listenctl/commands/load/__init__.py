"""`listenctl load`."""
