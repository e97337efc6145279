"""Audio of captured calls, written to files."""
