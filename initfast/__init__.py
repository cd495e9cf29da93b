"""Fill large arrays with random weights, reproducibly, under the Keras names.

Every element is a function of (stream version, seed, stream, index, distribution, parameters,
dtype) and of nothing else: not of the array's length or layout, the part asked for, the number of
threads, or the machine.

    >>> import initfast as ift
    >>> weights = ift.HeNormal(seed=42)((1000, 768))
    >>> part = ift.HeNormal(seed=42).block((1000, 768), (slice(200, 300), slice(0, 64)))
    >>> bool((part == weights[200:300, :64]).all())
    True

An initializer is made once, with its parameters and a seed, and called for each array:

- `init(shape, dtype=None)` makes a new array, `init.fill(out)` fills existing memory; float32
  by default.
- `init.block(shape, index)`, `init.rows(shape, ids)`, `init.fill(out, shape, index)`: a part, equal
  to the whole's.
- `HeNormal`, `HeUniform`, `GlorotNormal`, `GlorotUniform`, `LecunNormal`, `LecunUniform`: scaled by
  fan (`compute_fans`); all are rows of `VarianceScaling`. `RandomNormal`,
  `RandomUniform`, `TruncatedNormal`: of given parameters. `Orthogonal`, `Identity`, `STFT`,
  `Constant`, `Zeros`, `Ones`: the rest of Keras'. `RandomInitializer`, `Initializer`: the bases of
  your own.
- `get`, `serialize`, `deserialize`: by Keras' names, and to and from Keras' JSON.
- `Seed(42).named("layer/kernel")`: a stream for each tensor. `SeedGenerator(42)`: a new stream at
  each call.
- `threads`, `set_num_threads`, `get_num_threads`, `backends`: how it runs, which changes no value.
  `show_config`: what runs, for bug reports.
- `diagnose` (a `SignalReport`), `recommend`, `compare`: is it any good for a network? All of that
  is in `signal`.
- `checkpoint`: whole models in files. `random_bits`: the raw words. `ReusedSeedWarning`: two arrays
  of one stream.

Imported by name: `initfast.torch`, `initfast.keras`, `initfast.jax`, `initfast.dask`,
`initfast.zarr`, `initfast.threadpools`, `initfast.typing`. The command line is `initfast --help`.
README.md has recipes, and src/README.md specifies every value."""

# First, so that Ctrl-C during the other imports ends the command line in one line.
from initfast import _startup  # noqa: F401

# isort: split
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from initfast import backends, initializers
from initfast._config import show_config
from initfast._version import STREAM_VERSION, __version__  # noqa: F401
from initfast.core.engine import random_bits
from initfast.core.seeds import ReusedSeedWarning, Seed, SeedGenerator
from initfast.core.threads import get_num_threads, set_num_threads, threads
from initfast.initializers import (
    STFT,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    aliases,
    compute_fans,
    deserialize,
    get,
    serialize,
)

if TYPE_CHECKING:
    from initfast import checkpoint, signal
    from initfast.initializers.aliases import (
        IdentityInitializer,
        OrthogonalInitializer,
        STFTInitializer,
        constant,
        glorot_normal,
        glorot_uniform,
        he_normal,
        he_uniform,
        identity,
        lecun_normal,
        lecun_uniform,
        ones,
        orthogonal,
        random_normal,
        random_uniform,
        stft,
        truncated_normal,
        variance_scaling,
        zeros,
    )
    from initfast.signal import SignalReport, compare, diagnose, recommend

# Pickles, configs and Dask's tokens name a class by its module: the public one, wherever its file
# may move.
for _public in (*vars(initializers).values(), Seed, SeedGenerator, ReusedSeedWarning):
    if isinstance(_public, type):
        _public.__module__ = __name__

# Silent unless the program configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "STFT",
    "STREAM_VERSION",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "ReusedSeedWarning",
    "STFTInitializer",
    "Seed",
    "SeedGenerator",
    "SignalReport",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "backends",
    "checkpoint",
    "compare",
    "compute_fans",
    "constant",
    "deserialize",
    "diagnose",
    "get",
    "get_num_threads",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_bits",
    "random_normal",
    "random_uniform",
    "recommend",
    "serialize",
    "set_num_threads",
    "show_config",
    "signal",
    "stft",
    "threads",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

# Loaded on first use: each name and the module that has it. The aliases are here so that `help`
# prints no class twice.
_LAZY = {
    "checkpoint": "initfast",
    "signal": "initfast",
    "SignalReport": "initfast.signal",
    "compare": "initfast.signal",
    "diagnose": "initfast.signal",
    "recommend": "initfast.signal",
    **dict.fromkeys(aliases.__all__, "initfast.initializers.aliases"),
}


def __dir__() -> list[str]:
    dunder = [name for name in globals() if name.startswith("__")]
    return sorted({*dunder, *__all__} - {*aliases.__all__})


if not TYPE_CHECKING:  # a type checker that sees it takes any name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'initfast' has no attribute {name!r}")
        home = _LAZY[name]
        value = (
            import_module(f"initfast.{name}")
            if home == "initfast"
            else getattr(import_module(home), name)
        )
        globals()[name] = value
        return value
