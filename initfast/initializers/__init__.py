"""The initializers, under the names of `keras.initializers`.

`base` has their base class; `random`, `variance_scaling`, `constant`, `orthogonal` and `stft` have
the classes; `registry` finds them by name and by Keras' JSON. `fans` is the only module that knows
which axes of a weight are inputs and outputs."""

from initfast.initializers.base import Initializer
from initfast.initializers.constant import Constant, Identity, Ones, Zeros
from initfast.initializers.fans import compute_fans
from initfast.initializers.orthogonal import Orthogonal
from initfast.initializers.random import (
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
)
from initfast.initializers.registry import deserialize, get, serialize
from initfast.initializers.stft import STFT
from initfast.initializers.variance_scaling import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
)

__all__ = [
    "STFT",
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
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "deserialize",
    "get",
    "serialize",
]
