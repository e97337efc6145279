"""``listenctl generate``: files for the programs that operate a server."""
