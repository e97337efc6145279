"""Checks of the handshake, messages and frames of a call."""
