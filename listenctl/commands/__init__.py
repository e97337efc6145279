"""The command line: one folder for each verb with its options, its run and its view."""
