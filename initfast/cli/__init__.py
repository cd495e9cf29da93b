"""The command line of initfast. `program` has the table of commands; each is a file of this room."""

from initfast.cli.program import main

__all__ = ["main"]
