"""Encrypted recordings: keys, the format, the file that grows, and its decryption."""
