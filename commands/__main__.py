"""`python -m commands …`: the commands without `flask`."""

from commands.cli import main

main()
