"""Fill large arrays with random weights, reproducibly, under the Keras names.

Each element depends only on (stream version, seed, stream, index, distribution, parameters, dtype).
It does not depend on the array's length or layout, on the part that is requested, on the number of
threads, or on the machine.

    >>> import initfast as ift
    >>> weights = ift.HeNormal(seed=42)((1000, 768))
    >>> part = ift.HeNormal(seed=42).block((1000, 768), (slice(200, 300), slice(0, 64)))
    >>> bool((part == weights[200:300, :64]).all())
    True

Create an initializer with its parameters and a seed, then call it for each array:

- `init(shape, dtype=None)` returns a new array, and `init.fill(out)` fills an existing one. The
  default dtype is float32.
- `init.block(shape, index)`, `init.rows(shape, ids)` and `init.fill(out, shape, index)` compute a
  part, with the values that the whole array has there.
- Scaled by fan (`compute_fans`): `HeNormal`, `HeUniform`, `GlorotNormal`, `GlorotUniform`,
  `LecunNormal`, `LecunUniform`, and `VarianceScaling`, which includes the others.
- With explicit parameters: `RandomNormal`, `RandomUniform`, `TruncatedNormal`.
- The other initializers of Keras: `Orthogonal`, `Identity`, `STFT`, `Constant`, `Zeros`, `Ones`.
- Base classes for your own: `RandomInitializer` and `Initializer`.
- `get`, `serialize` and `deserialize` convert Keras' names and JSON.
- `Seed(42).named("layer/kernel")` is a separate stream for each tensor. `SeedGenerator(42)` uses a
  new stream at each call. `ReusedSeedWarning` says that two arrays have the same values.
- `threads`, `set_num_threads`, `get_num_threads` and `backends` change the speed and no value.
  `show_config` prints versions and settings for bug reports.
- `diagnose` (which returns a `SignalReport`), `recommend` and `compare` test whether an
  initialisation suits a network. The module `signal` has all of them.
- `checkpoint` writes whole models to files. `random_bits` returns raw random words.

Import these by name: `initfast.torch`, `initfast.keras`, `initfast.jax`, `initfast.dask`,
`initfast.zarr`, `initfast.threadpools`, `initfast.typing`. `initfast --help` describes the command
line. README.md has recipes, and src/README.md specifies every value."""

# Imported first, so that Ctrl-C during the other imports ends the command line with one line.
from initfast import _startup  # noqa: F401

# isort: split
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    import initfast._kernels  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "initfast._kernels":
        raise
    raise ImportError(
        f"{__path__[0]} is a source folder without the compiled extension: start Python in another "
        "folder, or compile it there with `pip install -e .`"
    ) from None

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

# Pickles, configs and Dask's tokens name a class by its module. The public module stays valid when
# a file moves.
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

# Names that are loaded on first use, and their modules. The aliases are here so that `help` prints
# each class only once.
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


if not TYPE_CHECKING:  # with `__getattr__` in sight, a type checker would accept any name

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
