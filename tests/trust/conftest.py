"""Nothing here is a test of the suite: pytest looks into no file of this folder, not even for doctests."""

collect_ignore_glob = ["*.py"]
