"""Captured calls, played again to a live server or a live client."""
