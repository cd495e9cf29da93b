"""Run the command line: for `python -m initfast`, and by `main` for the script `initfast`."""

import sys

from initfast import _startup


def main() -> int:
    """Run the command line of this process and return its exit code."""
    _startup.begin()
    from initfast.cli import main as run

    try:
        return run()
    finally:
        _startup.finish()


if __name__ == "__main__":
    sys.exit(main())
