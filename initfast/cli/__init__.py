"""The command line; `program` has the table of commands, and each command is a file here."""

from initfast.cli.program import main

__all__ = ["main"]
