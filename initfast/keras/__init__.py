"""Initializers for Keras 3 layers, on TensorFlow, JAX and PyTorch: the backend's tensors, without a
copy.

`HeNormal(seed=42)` and all others of `keras.initializers` are here under the same names, for
`kernel_initializer=` and similar arguments. The classes of `initfast` itself make NumPy arrays, and
raise in a Keras layer. Keras finds its own class under every name that it knows, so the classes
here are called `InitfastHeNormal` and so on, and are saved under these names.

`default(seed)` makes the string names mean these classes in the block that builds a model: each
weight is drawn once. `initialize(model, seed)` draws the weights of a built model again: they
depend only on the seed and their paths. `spec_from(model)` describes such a model for
`initfast model`.

The fans are Keras': those of a depthwise convolution count all input channels. The fans of one of
its outputs are `HeNormal(input_axes=[0, 1], output_axes=[0, 1, 3])` for `DepthwiseConv2D`,
`input_axes=[0], output_axes=[0, 2]` for `DepthwiseConv1D`."""

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
