"""The version of the package and of the stream; the build reads them from this file."""

__version__ = "1.0.0rc1"

STREAM_VERSION = 1
"""The version of the stream that src/README.md specifies. Its values are final."""
