"""listenctl, the command-line toolkit for the jambonz listen protocol."""

__version__ = "0.1.0"
