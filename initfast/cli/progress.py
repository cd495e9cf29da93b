"""The progress bar of the commands that write or read many bytes."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(size: int, *, show: bool) -> Iterator[Callable[[int], object]]:
    """Show a bar over `size` bytes if stderr is a terminal; yield the function that advances it."""
    if not (show and sys.stderr.isatty()):
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(total=size, unit="B", unit_scale=True, file=sys.stderr, leave=False) as bar:
        yield bar.update
