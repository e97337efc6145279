"""`listenctl replay`."""
