"""TLS sessions of a capture, decrypted with the secrets of a key log."""
