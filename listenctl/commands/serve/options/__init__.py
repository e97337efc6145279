"""The options of a server, one module for each section of its help, and the settings that they make."""
