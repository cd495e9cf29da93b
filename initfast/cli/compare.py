"""`initfast compare --activation relu --init zeros he_normal`: train a network from each of several
initializers.
"""

import argparse
import io
import json
import re
from pathlib import Path

from initfast.cli.options import integer
from initfast.cli.progress import progress
from initfast.files.partial import refuse_existing, resolve, write_small
from initfast.signal import datasets
from initfast.signal.activations import ACTIVATIONS
from initfast.signal.comparisons import Comparison
from initfast.signal.experiment import CHANNELS, DEFAULT_INITIALIZERS, HIDDEN, NETWORKS, compare
from initfast.signal.training import Recipe

PICTURES = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. `run` checks which of them can be combined."""
    usual = Recipe()
    parser.add_argument(
        "--activation",
        default="relu",
        help=f"activation of the hidden layers: {', '.join(ACTIVATIONS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--init",
        nargs="+",
        metavar="INIT",
        default=list(DEFAULT_INITIALIZERS),
        help="initializers: names of Keras or torch, such as he_normal or"
        " 'random_normal(stddev=0.01)', or Keras JSON"
        f" (default: {' '.join(DEFAULT_INITIALIZERS)})",
    )
    parser.add_argument(
        "--data",
        default="digits",
        help=f"{' or '.join(datasets.SHIPPED)} of scikit-learn, or FILE.npz with arrays x and y"
        " (default: %(default)s)",
    )
    units, channels = ("x".join(map(str, each)) for each in (HIDDEN, CHANNELS))
    parser.add_argument(
        "--hidden",
        help="units of the hidden layers, or channels of the convolutions "
        f"(default: {units}; {channels} if convolutional)",
    )
    parser.add_argument(
        "--network",
        default="mlp",
        help=f"one of {', '.join(NETWORKS)}; residual adds the inputs of each hidden layer to its"
        " outputs; convolutional needs images, such as digits (default: %(default)s)",
    )
    parser.add_argument(
        "--bias", default="zeros", metavar="INIT", help="initializer of the biases (default: zeros)"
    )
    parser.add_argument(
        "--seeds",
        default="5",
        help="number of seeds per initializer (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", default=str(usual.epochs), help="passes over the data (default: %(default)s)"
    )
    parser.add_argument(
        "--batch", default=str(usual.batch), help="samples per step (default: %(default)s)"
    )
    parser.add_argument(
        "--learning-rate",
        default=str(usual.learning_rate),
        help="learning rate of all trainings (default: %(default)s)",
    )
    parser.add_argument(
        "--momentum", default=str(usual.momentum), help="momentum in [0, 1) (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", default="0", help="an integer in [0, 2**64) (default: %(default)s)"
    )
    parser.add_argument(
        "--json",
        metavar="OUT.json",
        help="write the results of every epoch and seed; '-' prints them instead of the table",
    )
    parser.add_argument(
        "--plot", metavar="OUT.png", help="draw the losses and accuracies (.png, .svg or .pdf)"
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def run(arguments: argparse.Namespace) -> None:
    """Train, print the table and write the files.

    Raises:
        ArgumentTypeError: the arguments are wrong.
        OSError: a file cannot be read or written.
    """
    try:
        _check_outputs(arguments)
        comparison = _compare(arguments)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    text = json.dumps(comparison.to_dict(), allow_nan=False) + "\n"
    print(text if arguments.json == "-" else str(comparison) + "\n", end="")
    if arguments.json not in (None, "-"):
        write_small(arguments.json, text.encode(), force=arguments.force)
    if arguments.plot is not None:
        write_small(arguments.plot, _picture(comparison, arguments.plot), force=arguments.force)


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Raise an error before the training if the outputs cannot be written."""
    for path in (arguments.json, arguments.plot):
        if path not in (None, "-"):
            target = resolve(path)
            if not arguments.force:
                refuse_existing(target)
    if arguments.plot is not None:
        if Path(arguments.plot).suffix.lower() not in PICTURES:
            raise ValueError(
                f"--plot must end in {', '.join(PICTURES)}; received {arguments.plot!r}"
            )
        from initfast.signal import plots

        plots.check_matplotlib()


def _compare(arguments: argparse.Namespace) -> Comparison:
    epochs = integer(arguments.epochs, "--epochs")
    total = len(arguments.init) * epochs
    with progress(total, show=not arguments.quiet, unit="epoch", scaled=False) as advance:
        return compare(
            arguments.activation,
            arguments.init,
            arguments.data,
            hidden=None if arguments.hidden is None else _widths(arguments.hidden),
            seeds=integer(arguments.seeds, "--seeds"),
            epochs=epochs,
            batch=integer(arguments.batch, "--batch"),
            learning_rate=_number(arguments.learning_rate, "--learning-rate"),
            momentum=_number(arguments.momentum, "--momentum"),
            bias_initializer=arguments.bias,
            seed=integer(arguments.seed, "--seed"),
            network=arguments.network,
            advance=advance,
        )


def _picture(comparison: Comparison, path: str) -> bytes:
    from initfast.signal import plots

    memory = io.BytesIO()
    plots.write(plots.comparison(comparison), memory, Path(path).suffix)
    return memory.getvalue()


def _widths(text: str) -> list[int]:
    if not re.fullmatch(r"[0-9]+(x[0-9]+)*", text):
        raise ValueError(
            f"--hidden must be widths joined by 'x', such as 64x64x64; received {text!r}"
        )
    return [int(width) for width in text.split("x")]


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option} must be a number; received {text!r}") from None
