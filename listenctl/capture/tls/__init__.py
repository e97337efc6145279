"""Decryption of captured TLS sessions with the secrets of a key log."""
