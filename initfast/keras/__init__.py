"""Initializers for Keras 3 layers on TensorFlow, JAX and PyTorch.

All initializers of `keras.initializers` are here under the same names, such as `HeNormal(seed=42)`,
for `kernel_initializer=` and similar arguments. They return tensors of the Keras backend, without a
copy. The classes of `initfast` itself return NumPy arrays, and raise in a Keras layer. Keras would
load its own class for every name that it knows, so the classes here are also called
`InitfastHeNormal` and so on, and are saved under these names.

`default(seed)`: in this block the string names mean these classes, and each weight of a model built
there is drawn once. `initialize(model, seed)` draws the weights of a built model again: they depend
only on the seed and their paths. `spec_from(model)` describes such a model for `initfast model`.
`diagnose(model, x)` measures signals and gradients.

The fans are those of Keras, which counts all input channels of a depthwise convolution. For the
fans of one output channel, pass `input_axes=[0, 1], output_axes=[0, 1, 3]` with `DepthwiseConv2D`
and `input_axes=[0], output_axes=[0, 2]` with `DepthwiseConv1D`."""

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
