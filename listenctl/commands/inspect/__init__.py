"""`listenctl inspect`."""
