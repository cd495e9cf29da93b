"""Fill large arrays with uniform, normal and truncated normal weights, reproducibly, under the Keras names.

Every element is a function of (stream version, seed, stream, index, distribution, parameters, dtype) and of nothing else:
not of the array's length or layout, the part asked for, the number of threads, or the machine.

    >>> import initfast as ift
    >>> weights = ift.HeNormal(seed=42)((1000, 768))
    >>> part = ift.HeNormal(seed=42).block((1000, 768), (slice(200, 300), slice(0, 64)))
    >>> bool((part == weights[200:300, :64]).all())
    True
"""

__version__ = "0.1.0"

from initfast import backends
from initfast.config import STREAM_VERSION, show_config
from initfast.fans import compute_fans
from initfast.fill import random_bits
from initfast.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from initfast.registry import deserialize, get, serialize
from initfast.seeds import ReusedSeedWarning, Seed, SeedGenerator
from initfast.structured import STFT, Constant, Identity, Ones, Orthogonal, Zeros
from initfast.threads import get_num_threads, set_num_threads, threads

__all__ = [
    "STFT",
    "STREAM_VERSION",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "ReusedSeedWarning",
    "Seed",
    "SeedGenerator",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "backends",
    "compute_fans",
    "deserialize",
    "get",
    "get_num_threads",
    "random_bits",
    "serialize",
    "set_num_threads",
    "show_config",
    "threads",
]
