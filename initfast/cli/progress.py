"""The progress bar of commands that may take long."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(
    total: int, *, show: bool, unit: str = "B", scaled: bool = True
) -> Iterator[Callable[[int], object]]:
    """Show a bar over `total` units if stderr is a terminal; yield the function that advances it.

    Raises:
        ArgumentTypeError: an environment variable of tqdm is wrong.
    """
    if not (show and sys.stderr.isatty()):
        yield lambda count: None
        return
    try:
        from tqdm import tqdm

        bar = tqdm(total=total, unit=unit, unit_scale=scaled, file=sys.stderr, leave=False)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            f"an environment variable TQDM_... is wrong: {error}"
        ) from error
    with bar:
        yield bar.update
