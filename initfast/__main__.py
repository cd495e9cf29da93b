"""`python -m initfast` is the command line, and `main` the entry point of `initfast`."""

import sys

from initfast import _startup


def main() -> int:
    """Run the command line of this process and return its exit code."""
    _startup.begin()
    from initfast.cli import main as run

    try:
        return run()
    finally:
        _startup.done()


if __name__ == "__main__":
    sys.exit(main())
