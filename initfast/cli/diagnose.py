"""`initfast diagnose --widths 1000x500x500x10 --init glorot_uniform`: measure signals and gradients
in a network.
"""

import argparse
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from initfast.cli.options import integer
from initfast.cli.output import show
from initfast.core.regular import DAMAGED, open_regular
from initfast.core.text import line
from initfast.files.partial import refuse_existing, resolve, write_small
from initfast.signal.activations import ACTIVATIONS
from initfast.signal.diagnosis import INPUTS, diagnose
from initfast.signal.presets import PRESETS, measure
from initfast.signal.reports import SignalReport, compared

PICTURES = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. `run` checks which of them can be combined."""
    parser.add_argument(
        "--widths",
        help="number of inputs, then the units of each layer, such as 1000x500x500x10",
    )
    parser.add_argument(
        "--preset",
        nargs="+",
        metavar="NAME",
        help="instead of a network: test what introductory texts claim about initialisation: "
        f"{', '.join(PRESETS)}, or all",
    )
    parser.add_argument(
        "--init",
        nargs="+",
        metavar="INIT",
        default=["glorot_uniform"],
        help="initializers: names of Keras or torch, such as he_normal or"
        " 'random_normal(stddev=0.01)', or Keras JSON; several are compared, with one line each"
        " (default: glorot_uniform)",
    )
    parser.add_argument(
        "--details", action="store_true", help="print the full report of each initializer"
    )
    parser.add_argument(
        "--activation",
        default="tanh",
        help=f"activation of every layer: {', '.join(ACTIVATIONS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--output-activation", help="activation of the last layer (default: as --activation)"
    )
    parser.add_argument(
        "--bias", default="zeros", metavar="INIT", help="initializer of the biases (default: zeros)"
    )
    parser.add_argument(
        "--inputs",
        default="normal",
        help=f"distribution of random inputs ({' or '.join(INPUTS)}), or FILE.npy of shape"
        " (batch, inputs), which is used unchanged (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", default="256", help="number of random inputs (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", default="0", help="an integer in [0, 2**64) (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print a list of reports as JSON")
    parser.add_argument(
        "--plot",
        metavar="OUT.png",
        help="draw the activations of one report, or the signals of several by depth (.png, .svg"
        " or .pdf)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing picture")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the reports and draw the picture.

    Raises:
        ArgumentTypeError: the arguments are wrong.
        OSError: a file cannot be read or written.
    """
    try:
        _check_usage(arguments)
        if arguments.preset:
            claims = [measure(name) for name in _presets(arguments.preset)]
            show(
                json.dumps([each._asdict() for each in claims], indent=2)
                if arguments.json
                else "\n\n".join(map(str, claims))
            )
            return
        _check_plot(arguments)
        inputs = _inputs(arguments.inputs)
        reports = [_report(init, inputs, arguments) for init in arguments.init]
    except (ValueError, TypeError, NotImplementedError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if arguments.json:
        show(json.dumps([report.to_dict() for report in reports], indent=2, allow_nan=False))
    elif arguments.details or len(reports) == 1:
        show("\n\n".join(map(str, reports)))
    else:
        show(compared(reports))
    if arguments.plot is not None:
        write_small(arguments.plot, _picture(reports, arguments.plot), force=arguments.force)


def _check_usage(arguments: argparse.Namespace) -> None:
    if arguments.preset and arguments.widths is not None:
        raise ValueError("--preset cannot be combined with --widths")
    if not arguments.preset and arguments.widths is None:
        raise ValueError("--widths or --preset is required")
    if arguments.preset and arguments.plot is not None:
        raise ValueError("--preset cannot be combined with --plot")


def _presets(names: list[str]) -> list[str]:
    return list(PRESETS) if names == ["all"] else names


def _report(init: str, inputs: Any, arguments: argparse.Namespace) -> SignalReport:
    return diagnose(
        _widths(arguments.widths),
        init,
        arguments.activation,
        arguments.bias,
        inputs,
        integer(arguments.seed, "--seed"),
        batch=integer(arguments.batch, "--batch"),
        output_activation=arguments.output_activation,
    )


def _inputs(text: str) -> Any:
    if Path(text).suffix != ".npy":
        return text
    try:
        with open_regular(text) as file:
            return np.load(file, allow_pickle=False)
    except DAMAGED as error:
        raise ValueError(
            f"--inputs must be an array in a .npy file; received {text!r}: {line(error)}"
        ) from None


def _widths(text: str) -> list[int]:
    if not re.fullmatch(r"[0-9]+(x[0-9]+)+", text):
        raise ValueError(
            "--widths must be two or more numbers joined by 'x', such as 1000x500x500x10; received "
            f"{text!r}"
        )
    return [int(width) for width in text.split("x")]


def _check_plot(arguments: argparse.Namespace) -> None:
    """Raise an error before anything is measured if the picture cannot be written."""
    if arguments.plot is None:
        return
    target = resolve(arguments.plot)
    if not arguments.force:
        refuse_existing(target)
    if Path(arguments.plot).suffix.lower() not in PICTURES:
        raise ValueError(f"--plot must end in {', '.join(PICTURES)}; received {arguments.plot!r}")
    from initfast.signal import plots

    plots.check_matplotlib()


def _picture(reports: list[SignalReport], path: str) -> bytes:
    from initfast.signal import plots

    by_name = {report.initializer: report for report in reports}
    figure = plots.report(reports[0]) if len(by_name) == 1 else plots.depth(by_name)
    memory = io.BytesIO()
    plots.write(figure, memory, Path(path).suffix)
    return memory.getvalue()
