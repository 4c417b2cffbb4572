"""The commands, a file for each; cli.py lists them."""
