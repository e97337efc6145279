"""`listenctl call`."""
