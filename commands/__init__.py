"""The commands: `flask …` in the project's folder, `python3 connector.pyz …` for the single file."""
