"""The command line. `program` has the table of commands; each command has a file here."""

from initfast.cli.program import main

__all__ = ["main"]
