"""Sockets, TLS, addresses and the client handshake, for both sides."""
