"""The verbs that reach a live call, each in a file of its name."""
