"""`listenctl hooks`."""
