"""The version and the stream version; the build and every module read them from here."""

__version__ = "1.0.0rc1"

STREAM_VERSION = 1
"""Version of the stream that src/README.md specifies. Its values are final."""
