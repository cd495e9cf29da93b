"""Figures: size, style and files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["DPI", "WIDTH", "check_matplotlib", "new_figure", "write"]

WIDTH = 8.0  # inches, each about 100 pixels in a README
DPI = 150

_STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.markersize": 4.5,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}


@contextmanager
def new_figure(height: float, path: Any) -> Iterator[Any]:
    """Yield a figure on an Agg canvas, and write it to `path` at the end."""
    check_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
    if path is not None:
        write(figure, path)


def _style() -> Any:
    """Return a context with the style of these pictures instead of the user's style."""
    from matplotlib import style

    return style.context(["default", _STYLE])


def write(figure: Any, path: Any, suffix: str | None = None) -> None:
    """Write a figure to a path or a binary file, in the format of `suffix`. Default: the suffix of
    the path, or '.png'."""
    is_path = isinstance(path, (str, os.PathLike))
    kind = (suffix or (os.path.splitext(path)[1] if is_path else "")).lower() or ".png"
    if kind != ".png":
        with _style():
            figure.savefig(path, format=kind[1:])
        return
    # 256 colours are enough for lines and bands, and take a third of the bytes. Pillow comes with
    # matplotlib; matplotlib's own PNG would contain its version.
    from PIL import Image

    with _style():
        figure.canvas.draw()
    size = figure.canvas.get_width_height(physical=True)
    pixels = Image.frombuffer(
        "RGBA", size, figure.canvas.buffer_rgba(), "raw", "RGBA", 0, 1
    ).convert("RGB")
    pixels.quantize(256, method=Image.Quantize.MEDIANCUT).save(path, "PNG", optimize=True)


def check_matplotlib() -> None:
    """Raise ImportError if matplotlib is missing, with the command that installs it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("a picture needs matplotlib: pip install 'initfast[plot]'") from None
