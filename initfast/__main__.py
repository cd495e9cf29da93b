"""`python -m initfast` is the command line."""

import sys

from initfast.cli import main

if __name__ == "__main__":
    sys.exit(main())
