"""Keras 3: initializers that hand the backend its own tensor, without a copy, on TensorFlow, JAX
and PyTorch.

`HeNormal(seed=42)` and all others of `keras.initializers` are here under the same names, for
`kernel_initializer=` and its kin; `default(seed)` makes the string names in a block mean them;
`initialize(model, seed)` draws a built model again, and `spec_from(model)` describes it for
`initfast model`. Their classes are called `InitfastHeNormal` and so on, because Keras takes its own
class for every name that it knows."""

_NEEDED = (
    "initfast.keras needs Keras 3.15 or newer and one of its backends: pip install 'keras>=3.15' "
    "jax"
)

try:
    import keras
except ImportError as error:
    raise ImportError(f"{_NEEDED} ({error})") from error
if int(keras.__version__.split(".")[0]) < 3:
    raise ImportError(f"{_NEEDED}; received Keras {keras.__version__}")

from initfast.keras.defaults import default  # noqa: E402
from initfast.keras.diagnosis import diagnose  # noqa: E402
from initfast.keras.initializers import (  # noqa: E402
    STFT,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    InitfastConstant,
    InitfastGlorotNormal,
    InitfastGlorotUniform,
    InitfastHeNormal,
    InitfastHeUniform,
    InitfastIdentity,
    InitfastInitializer,
    InitfastLecunNormal,
    InitfastLecunUniform,
    InitfastOnes,
    InitfastOrthogonal,
    InitfastRandomInitializer,
    InitfastRandomNormal,
    InitfastRandomUniform,
    InitfastSTFT,
    InitfastTruncatedNormal,
    InitfastVarianceScaling,
    InitfastZeros,
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
)
from initfast.keras.models import initialize  # noqa: E402
from initfast.keras.specs import spec_from  # noqa: E402

__all__ = [
    "STFT",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "InitfastConstant",
    "InitfastGlorotNormal",
    "InitfastGlorotUniform",
    "InitfastHeNormal",
    "InitfastHeUniform",
    "InitfastIdentity",
    "InitfastInitializer",
    "InitfastLecunNormal",
    "InitfastLecunUniform",
    "InitfastOnes",
    "InitfastOrthogonal",
    "InitfastRandomInitializer",
    "InitfastRandomNormal",
    "InitfastRandomUniform",
    "InitfastSTFT",
    "InitfastTruncatedNormal",
    "InitfastVarianceScaling",
    "InitfastZeros",
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
    "default",
    "diagnose",
    "initialize",
    "spec_from",
]
