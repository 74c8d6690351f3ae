"""``python -m streams``: the command line, for processes that start each other."""

from streams.cli.main import main

main()
