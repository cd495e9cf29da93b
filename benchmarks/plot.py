"""Draw the picture of benchmarks/README.md: throughput against size, one line per library."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

TITLES = {"normal": "normal", "truncated_normal": "truncated normal"}
# (library, its name in the picture, colour, line style). Of several generators of one library, the
# fastest. The palette is for colour-blind readers too: Okabe and Ito, 2008.
LINES = (
    ("non-temporal stores", "stores alone", "#999999", ":"),
    ("initfast", "initfast", "#d55e00", "-"),
    ("initfast avx2", "initfast, AVX2", "#d55e00", "--"),
    ("mkl ARS5", "MKL ARS5", "#0072b2", "-"),
    ("torch", "torch", "#e69f00", "-"),
    ("numpy SFC64", "NumPy SFC64", "#009e73", "-"),
    ("jax", "JAX", "#cc79a7", "-"),
    ("tensorflow", "TensorFlow", "#56b4e9", "-"),
)
TICKS = {10: "1 KiB", 16: "64 KiB", 22: "4 MiB", 28: "256 MiB"}
COLOURS = 64  # of the picture: a third of the bytes without a visible difference


def draw(
    rows: list[dict[str, Any]], here: dict[str, Any], section: dict[str, Any], target: Path
) -> None:
    """Write the picture as a PNG of 1600 pixels, twice the width on the page."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from PIL import Image

    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, panels = plt.subplots(
            1, len(TITLES), figsize=(8, 3.8), sharey=True, layout="constrained"
        )
        for panel, (task, title) in zip(panels, TITLES.items(), strict=True):
            for library, label, colour, style in LINES:
                points = [
                    row
                    for row in rows
                    if row["library"] == library and row["task"] == task and "GB/s" in row
                ]
                points.sort(key=lambda row: row["bytes"])
                width = 2.4 if library == "initfast" else 1.4
                panel.plot(
                    [row["bytes"] for row in points],
                    [row["GB/s"] for row in points],
                    label=label,
                    color=colour,
                    linestyle=style,
                    linewidth=width,
                    marker=".",
                    markersize=4,
                )
            panel.set(xscale="log", yscale="log", title=title, xlabel="array of float32")
            panel.set_xticks([2**log2 for log2 in TICKS], TICKS.values())
            panel.minorticks_off()
            panel.grid(alpha=0.25)
        panels[0].set_ylabel("GB/s")
        ticks = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
        panels[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        lines, names = panels[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=4, frameon=False)
        words = f"{here['cpu']}, {section['threads']} threads, {section['date']}"
        figure.suptitle(words, fontsize=8, color="#555555")
        png = io.BytesIO()
        figure.savefig(png, dpi=200)
        plt.close(figure)
    Image.open(png).convert("RGB").quantize(COLOURS).save(target, optimize=True)
