"""The command line: one root, commands contributed through entry points."""
