"""Test pictures: PNGs of real reports, from 1 to 50 layers, with 0, inf and nan, and without global
state."""

import dataclasses
import io
import math
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from tiers import sample

from initfast.signal import Block, diagnose, plots
from initfast.signal.comparisons import Comparison
from initfast.signal.plots import figures, histograms, styles
from initfast.signal.training import Curves, Recipe

matplotlib = pytest.importorskip("matplotlib")

TEN = (
    "zeros", "random_normal(stddev=0.01)", "random_normal(stddev=1)", "random_uniform", "glorot_normal",
    "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform",
)  # fmt: skip


def reports(names, layers, activation="relu", width=16):
    return {
        name: diagnose([width] * (layers + 1), name, activation=activation, seed=0, batch=32)
        for name in names
    }


def comparison(names=("he_normal", "zeros"), epochs=4, seed=0, huge=False):
    rng = np.random.default_rng(seed)
    results = {}
    for name in names:
        losses = [np.exp(rng.normal(size=(3, epochs + 1))) for _ in range(2)]
        if huge:
            losses[0][:, 1:], losses[1][:, 1], losses[1][0, 2] = np.nan, np.inf, 1e30
        results[name] = Curves(*losses, *rng.uniform(size=(2, 3, epochs + 1)))
    return Comparison(
        "relu",
        "digits",
        (75, 25),
        (64, 16, 10),
        (2.3, 2.3),
        "zeros",
        Recipe(epochs=epochs),
        0,
        results,
        dict.fromkeys(names),
    )


def png(draw, data):
    memory = io.BytesIO()
    draw(data, memory)
    return memory.getvalue()


def size_of(raw):
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", raw[16:24])


def panels(figure):
    return [axes for axes in figure.findobj(matplotlib.axes.Axes) if axes.axison]


def visible_texts(figure):
    """Return titles, labels, notes and legends with their places. Ticks are tested separately,
    because those outside the limits are hidden."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    ticks = {
        id(label)
        for axes in panels(figure)
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.get_ticklabels(which="both")
    }
    hidden = {
        id(text)
        for axes in figure.findobj(matplotlib.axes.Axes)
        if not axes.axison
        for text in axes.findobj(matplotlib.text.Text)
    }
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in ticks | hidden
    ]


def tick_texts(axes):
    axes.figure.canvas.draw()
    return [label.get_text() for label in axes.get_yticklabels()]


CASES = {
    "depth of ten in 50 layers": lambda: plots.depth(reports(TEN, 50, width=8)),
    "depth of three sigmoids": lambda: plots.depth(reports(TEN[:3], 10, "sigmoid")),
    "depth of one layer": lambda: plots.depth(reports(TEN[:2], 1)),
    "report of 1 layer": lambda: plots.report(reports(["zeros"], 1)["zeros"]),
    "report of 5 layers": lambda: plots.report(reports([TEN[2]], 5, "tanh")[TEN[2]]),
    "report of 50 layers": lambda: plots.report(reports([TEN[2]], 50, width=8)[TEN[2]]),
    "comparison": lambda: plots.comparison(comparison()),
    "comparison of ten": lambda: plots.comparison(comparison(TEN, 30)),
    "comparison of one that diverges": lambda: plots.comparison(
        comparison(["random_normal(stddev=1)"], huge=True)
    ),
}


DEPTH = {"variance of activations", "RMS of their gradient", "layer"}
LABELS = {
    "depth": DEPTH,
    "report": DEPTH
    | {"upper rows: net input z; lower rows: activation f(z)", "share of values, %"},
    "comparison": {"cross entropy, nats", "accuracy, %", "epochs", "training set", "test set"},
}


@pytest.mark.parametrize("case", sample(CASES.keys(), "report of 5 layers"))
def test_axes_are_labelled_and_no_text_is_cut_or_covered(case):
    figure = CASES[case]()
    width, height = figure.bbox.width, figure.bbox.height
    assert width == figures.WIDTH * figures.DPI
    placed = visible_texts(figure)
    assert LABELS[case.split()[0]] <= {text for text, _ in placed}
    for text, box in placed:
        assert box.x0 >= -1 and box.x1 <= width + 1 and box.y0 >= -1 and box.y1 <= height + 1, text
    for legend in figure.legends:
        box = legend.get_window_extent()
        for axes in panels(figure):
            assert not box.overlaps(axes.get_tightbbox())
    titles = [axes.title.get_window_extent() for axes in panels(figure) if axes.get_title()]
    for i, one in enumerate(titles):
        assert not any(one.overlaps(other) for other in titles[:i])


@pytest.mark.long
@pytest.mark.parametrize(
    ("draw", "one", "other"),
    [
        (
            plots.depth,
            lambda: reports(["he_normal"], 4),
            lambda: reports(["lecun_normal"], 4),
        ),
        (
            plots.report,
            lambda: reports(["he_normal"], 4)["he_normal"],
            lambda: reports(["zeros"], 4)["zeros"],
        ),
        (plots.comparison, comparison, lambda: comparison(seed=1)),
    ],
)
def test_pngs_are_fixed_and_show_the_data(draw, one, other):
    first = png(draw, one())
    assert size_of(first)[0] == 1200
    assert len(first) > 10_000
    assert png(draw, one()) == first
    assert png(draw, other()) != first


def test_zero_and_infinity_have_their_places():
    report = reports(["he_normal"], 6)["he_normal"]
    values = [1.0, 0.0, math.inf, math.nan, 1e-3, 1e3]
    layers = tuple(
        dataclasses.replace(layer, variance=value, gradient_rms=None if i == 0 else 1.0)
        for i, (layer, value) in enumerate(zip(report.layers, values, strict=True))
    )
    figure = plots.depth({"x": dataclasses.replace(report, layers=layers)})
    panel, right = panels(figure)
    heights = panel.lines[0].get_ydata()
    assert [heights[i] for i in (0, 4, 5)] == [1.0, 1e-3, 1e3]
    assert heights[1] < 1e-3, "0 lies below all others"
    assert heights[2] == heights[3] > 1e3, "inf and nan lie above"
    low, high = panel.get_ylim()
    assert low < heights[1] and high > heights[2]
    ticks = dict(zip(panel.get_yticks(), tick_texts(panel), strict=True))
    assert ticks[heights[1]] == "0"
    assert ticks[heights[2]] == "inf"
    assert list(right.lines[0].get_xdata()) == [2, 3, 4, 5, 6], "no gradient, no point"
    assert not {"0", "inf"} & set(tick_texts(right))


def test_all_zeros_draw_too():
    panel, _ = panels(plots.depth(reports(["zeros"], 3)))
    assert len(set(panel.lines[0].get_ydata())) == 1
    assert "0" in tick_texts(panel)


def test_the_comparison_draws_mean_and_range():
    data = comparison(["he_normal"])
    figure = plots.comparison(data)
    curve = data.curves["he_normal"]
    above = next(axes for axes in panels(figure) if axes.get_title() == "test set")
    np.testing.assert_allclose(above.lines[0].get_ydata(), curve.test_loss.mean(axis=0))
    band = above.collections[0].get_paths()[0].vertices
    for epoch in range(5):
        heights = band[band[:, 0] == epoch][:, 1]
        np.testing.assert_allclose(
            (heights.min(), heights.max()),
            (curve.test_loss.min(0)[epoch], curve.test_loss.max(0)[epoch]),
        )
    assert [line.get_ydata()[0] for line in above.lines][-1] == 2.3, "the constant guess"


def test_losses_out_of_bounds_stand_at_the_upper_edge():
    figure = plots.comparison(comparison(["he_normal"], huge=True))
    panel = next(axes for axes in panels(figure) if axes.get_title() == "training set")
    heights = panel.lines[0].get_ydata()
    assert len(set(heights[1:])) == 1
    assert heights[1] > heights[0]
    assert "above,\nnan" in tick_texts(panel)


def test_a_layer_of_a_long_name_and_names_that_look_like_formulas():
    report = reports(["he_normal"], 2)["he_normal"]
    layers = tuple(
        dataclasses.replace(layer, name=f"transformer.blocks.{'x' * 40}.dense_7")
        for layer in report.layers
    )
    figure = plots.report(dataclasses.replace(report, layers=layers))
    titles = [axes.get_title().splitlines()[0] for axes in panels(figure) if axes.get_title()]
    names = [title.removesuffix(", z") for title in titles]
    assert all(len(name) == histograms.NAME and name.endswith("dense_7") for name in names)
    figure = plots.depth({"_a$b$_1": report, "c": report})
    assert [text.get_text() for text in figure.legends[0].texts] == [r" _a\$b\$_1", "c"]


def test_an_initializer_has_one_colour_in_every_picture():
    data = reports(["zeros", "he_normal", "glorot_uniform"], 3)
    both = plots.depth(data), plots.depth({"he_normal": data["he_normal"]})
    colours = [
        {
            text.get_text(): line.get_color()
            for text, line in zip(legend.texts, legend.get_lines(), strict=True)
        }
        for legend in (figure.legends[0] for figure in both)
    ]
    assert colours[0]["he_normal"] == colours[1]["he_normal"] == styles.FAMILIES["he"]
    assert len(set(colours[0].values())) == 3
    alone = plots.report(data["he_normal"])
    assert styles.FAMILIES["he"] in [
        line.get_color() for axes in panels(alone) for line in axes.lines
    ]


def test_histograms_share_their_scale_so_that_a_collapse_looks_like_one():
    report = diagnose([64] * 6, "random_normal(stddev=0.01)", "tanh", seed=1)
    figure = plots.report(report)
    rows = [axes for axes in panels(figure) if axes.get_title()]
    assert len(rows) == 10
    limits = {
        axes.get_xlim()
        for axes in rows
        if not axes.get_title().startswith("layer_1, z") and "z" not in axes.get_title()
    }
    assert len(limits) == 1
    assert sum(report.layers[0].net_histogram.counts) == 256 * 64
    title = figure._suptitle.get_text()
    assert "64x64x64x64x64x64, inputs normal" in title
    assert (
        "8 of 50 layers"
        in plots.report(reports(["zeros"], 50, width=4)["zeros"])._suptitle.get_text()
    )


def test_a_residual_network_is_drawn_by_its_sums():
    report = diagnose([16] * 4, "he_normal", "relu", batch=16)
    sums = tuple(Block(f"b{i}", i + 1.0, 1.0, i + 2.0) for i in range(5))
    figure = plots.report(dataclasses.replace(report, blocks=sums))
    labels = {axes.get_ylabel() for axes in panels(figure)}
    assert {"RMS", "growth of E[x^2]"} <= labels
    growth = next(axes for axes in panels(figure) if axes.get_ylabel() == "growth of E[x^2]")
    np.testing.assert_allclose(growth.lines[0].get_ydata(), [(i + 2.0) ** 2 for i in range(5)])
    np.testing.assert_allclose(growth.lines[1].get_ydata(), [2, 3, 4, 5, 6])


def test_a_stream_has_the_colour_of_its_initializer_and_panels_fill_their_rows():
    report = diagnose([16] * 6, "he_normal", "relu", batch=16)
    layers = [dataclasses.replace(each, dead=0.004) for each in report.layers]
    figure = plots.report(
        dataclasses.replace(report, blocks=(Block("b", 1.0, 1.0, 2.0),) * 3, layers=tuple(layers))
    )
    stream = next(axes for axes in panels(figure) if axes.get_ylabel() == "RMS")
    assert [line.get_color() for line in stream.lines] == [styles.FAMILIES["he"], styles.NET]
    titled = [axes for axes in panels(figure) if axes.get_title()]
    assert len({round(axes.get_position().x0, 3) for axes in titled}) == 3, "five layers: 3 + 2"
    assert not any("dead" in axes.get_title() for axes in titled), "less than half a percent"


def test_a_scale_in_the_name_may_be_large():
    assert styles.colour("random_normal(stddev=1e+30)", 0) == styles.FAMILIES["random"]
    assert styles.colour("random_normal(stddev=1e-05)", 0) == styles.SMALL


def test_files(tmp_path):
    data = reports(["he_normal"], 2)
    for name, start in (
        ("a.png", b"\x89PNG"),
        ("b.PNG", b"\x89PNG"),
        ("c.svg", b"<?xml"),
        ("d.pdf", b"%PDF"),
    ):
        figure = plots.depth(data, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
        assert isinstance(figure, matplotlib.figure.Figure)
    with pytest.raises(ValueError, match="not supported"):
        plots.depth(data, tmp_path / "e.doc")
    with pytest.raises(ValueError, match="reports must not be empty"):
        plots.depth({})
    next(iter(data.values())).plot(tmp_path / "f.png")
    assert size_of((tmp_path / "f.png").read_bytes())[0] == 1200
    comparison().plot(tmp_path / "g.png")
    assert size_of((tmp_path / "g.png").read_bytes())[0] == 1200


def test_the_users_style_is_left_alone_and_does_not_matter():
    plain = png(plots.depth, reports(["he_normal"], 2))
    with matplotlib.rc_context(
        {"font.size": 30.0, "lines.linewidth": 9.0, "axes.facecolor": "black"}
    ):
        assert png(plots.depth, reports(["he_normal"], 2)) == plain
        assert matplotlib.rcParams["font.size"] == 30.0


@pytest.mark.long
def test_pyplot_is_never_loaded():
    code = (
        "import sys, io; from initfast.signal import Block, diagnose, plots\n"
        "plots.depth({'x': diagnose([4, 4], 'he_normal', activation='tanh', seed=0)}, io.BytesIO())\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "False"


def test_without_matplotlib(monkeypatch):
    data = reports(["he_normal"], 2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'initfast[plot]'")):
        plots.depth(data)
