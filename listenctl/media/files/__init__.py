"""Recordings and sound files: WAV headers, names, conversion, repair, sidecars."""
