"""Fill large arrays with uniform, normal and truncated normal weights, reproducibly, under the Keras names.

Every element is a function of (stream version, seed, stream, index, distribution, parameters, dtype) and of nothing
else: not of the array's length or layout, the part asked for, the number of threads, or the machine.

    >>> import initfast as ift
    >>> weights = ift.HeNormal(seed=42)((1000, 768))
    >>> part = ift.HeNormal(seed=42).block((1000, 768), (slice(200, 300), slice(0, 64)))
    >>> bool((part == weights[200:300, :64]).all())
    True

An initializer is made once, with its parameters and a seed, and called for each array:

- `init(shape, dtype=None)` makes a new array, `init.fill(out)` fills memory that is there; float32 if nothing is said.
- `init.block(shape, index)`, `init.rows(shape, ids)`, `init.fill(out, shape, index)`: a part, equal to the whole's.
- `HeNormal`, `HeUniform`, `GlorotNormal`, `GlorotUniform`, `LecunNormal`, `LecunUniform`: scaled by fan, which
  `compute_fans` tells; all are rows of `VarianceScaling`. `RandomNormal`, `RandomUniform`, `TruncatedNormal`: of given
  parameters. `Orthogonal`, `Identity`, `STFT`, `Constant`, `Zeros`, `Ones`: the rest of Keras'.
  `Initializer`: the base of your own.
- `get`, `serialize`, `deserialize`: by Keras' names, and to and from Keras' JSON.
- `Seed(42).named("layer/kernel")`: a stream for each tensor. `SeedGenerator(42)`: a new stream at each call.
- `threads`, `set_num_threads`, `get_num_threads`, `backends`: how it runs, which changes no value. `show_config`: what
  runs, for bug reports.
- `diagnose` (a `SignalReport`), `recommend`, `compare`: is it any good for a network? All of that is in `signal`.
- `checkpoint`: whole models in files. `random_bits`: the raw words. `ReusedSeedWarning`: two arrays of one stream.

Imported by name: `initfast.torch`, `initfast.keras`, `initfast.jax`, `initfast.dask`, `initfast.zarr`,
`initfast.threadpools`, `initfast.typing`. The command line is `initfast --help`. README.md has recipes, and
src/README.md specifies every value.
"""

__version__ = "0.1.0"

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from initfast import backends
from initfast.aliases import (
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
from initfast.base import Initializer
from initfast.config import STREAM_VERSION, show_config
from initfast.constants import Constant, Identity, Ones, Zeros
from initfast.fans import compute_fans
from initfast.fill import random_bits
from initfast.fourier import STFT
from initfast.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from initfast.orthogonals import Orthogonal
from initfast.registry import deserialize, get, serialize
from initfast.seeds import ReusedSeedWarning, Seed, SeedGenerator
from initfast.threads import get_num_threads, set_num_threads, threads

if TYPE_CHECKING:
    from initfast import checkpoint, signal
    from initfast.signal import SignalReport, compare, diagnose, recommend

logging.getLogger(__name__).addHandler(logging.NullHandler())  # who wants to read it says so

# What stands above this module, and is loaded when it is first asked for: name and module.
_LATER = {
    "checkpoint": "checkpoint",
    "signal": "signal",
    "SignalReport": "signal",
    "compare": "signal",
    "diagnose": "signal",
    "recommend": "signal",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


if not TYPE_CHECKING:  # a type checker that saw it would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module 'initfast' has no attribute {name!r}")
        module = import_module(f"initfast.{_LATER[name]}")
        found = module if name == _LATER[name] else getattr(module, name)
        globals()[name] = found  # asked for once
        return found


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
