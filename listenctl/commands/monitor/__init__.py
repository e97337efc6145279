"""`listenctl monitor`."""
