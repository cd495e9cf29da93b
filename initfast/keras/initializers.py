"""The 17 initializers of Keras, each a subclass of the classes with its name in initfast and in
Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar, cast

import keras

from initfast.core import indexing
from initfast.core.seeds import AnySeed, Seed, SeedGenerator
from initfast.initializers import base, constant, orthogonal, random, stft, variance_scaling
from initfast.initializers.configs import KERAS_PREFIX
from initfast.initializers.copies import Config
from initfast.keras import tensors
from initfast.keras.copies import ACTIVE, Kin, stream_of_copy
from initfast.keras.generators import KerasSeedGenerator

Plain = TypeVar("Plain", bound=base.Initializer)

_DOC = """`initfast.{name}` for Keras: {promise}

    Arguments are those of `initfast.{name}`, and the values are the same. A call returns a tensor
    of the backend; `block`, `rows` and `fill` return and take NumPy arrays. In a saved model the
    class is called 'initfast>Initfast{name}': run `import initfast.keras` before you load it.{seed}
    """

_GENERATORS = """ `seed` may also be
    a `keras.random.SeedGenerator`, whose counter is then shared as in Keras."""


class InitfastInitializer(base.Initializer, keras.initializers.Initializer):  # type: ignore[misc]
    """Base class of all initializers here: an initializer of initfast with Keras' interface."""

    _plain: ClassVar[type[base.Initializer]] = base.Initializer

    @tensors.without_autograph
    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        """Return a tensor of the backend, over the memory of the filled array.

        Args:
            shape: the logical shape.
            dtype: a floating type by name, or any other dtype that Keras knows; default:
                `keras.config.floatx()`.
            layout: on JAX, a sharding over a mesh; then each device's block is computed separately.

        In a scope in which Keras only infers shapes, it returns a placeholder and draws nothing.
        """
        kind = tensors.dtype_name(dtype)
        placeholder = tensors.placeholder(shape, kind)
        if placeholder is not None:
            return placeholder
        if layout is not None:
            return tensors.sharded_array(self.pinned(), _dims(shape), kind, layout)
        return tensors.adopt(super().__call__(shape, kind))

    def _refuse_keras(self) -> None:
        """Do nothing: Keras may call these initializers."""


class _Random(InitfastInitializer, random.RandomInitializer):
    """Random initializers. Copies share the seed and have separate streams, see `copies`.

    Among an initializer and its copies, the first that draws has the stream of the seed, as in
    initfast. The next one has the stream named 'copy 1', and so on. A copy of a copy counts as
    another copy. An initializer loaded from JSON starts again with the stream of the seed."""

    _kin: Kin | None = None
    _place: int | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the initializer of a config of initfast or Keras. It is a copy if the config is an
        unchanged result of `get_config`.
        """
        initializer = super().from_config(config)
        scope = ACTIVE.get()
        if (
            scope is not None
            and not isinstance(config, Config)
            and not isinstance(initializer.seed, SeedGenerator)
        ):
            initializer._kin = scope.kin(
                initializer.seed if isinstance(initializer.seed, Seed) else Seed(initializer.seed)
            )
        return initializer

    def _join(self, origin: _Random) -> None:
        mine, theirs = self.seed, origin.seed
        if (
            isinstance(mine, SeedGenerator)
            and isinstance(theirs, SeedGenerator)
            and mine.seed == theirs.seed
        ):
            self._set_seed(theirs)
        # They differ if a seed of None was drawn again, or if Keras has replaced the seed.
        elif mine == theirs:
            if origin._kin is None:
                origin._kin = Kin()
            self._kin = origin._kin

    def _set_seed(self, seed: AnySeed | keras.random.SeedGenerator) -> None:
        if isinstance(seed, keras.random.SeedGenerator):
            seed = KerasSeedGenerator(seed)
        super()._set_seed(seed)
        self._kin = self._place = None  # with another seed it is not a copy

    def _next_seed(self) -> Seed:
        seed = super()._next_seed()
        if isinstance(self.seed, SeedGenerator):
            return seed
        if self._place is None:
            if self._kin is None:
                self._kin = Kin()
            self._place = self._kin.place()
        return stream_of_copy(seed, self._place)


class InitfastRandomInitializer(_Random):
    """Base class of your own random initializers for Keras, like `initfast.RandomInitializer`.

    Write `for_shape(shape)`, and pass `seed` to the constructor of this class. Register your class
    with Keras, if you want to save models with it.
    """


def _dims(shape: Any) -> indexing.Dims:
    return indexing.normalize_shape(tuple(shape))


def _adapted(plain: type[Plain]) -> type[Plain]:
    """Return the class `Initfast...`, derived from the classes of one name in initfast and Keras.

    It is derived from Keras' class, because Keras sets the input axes of a kernel only if the
    initializer is a `keras.initializers.VarianceScaling`."""
    name = plain.__name__
    mine = _Random if issubclass(plain, random.RandomInitializer) else InitfastInitializer
    promise = (plain.__doc__ or "").splitlines()[0].strip().replace("{", "{{")
    seed = _GENERATORS if mine is _Random else ""
    adapted_class = type(
        KERAS_PREFIX + name,
        (mine, plain, getattr(keras.initializers, name)),
        {
            "__doc__": _DOC.format(name=name, promise=promise, seed=seed),
            "__module__": "initfast.keras",
            "_plain": plain,
        },
    )
    return cast(type[Plain], _register(adapted_class))


_register = keras.saving.register_keras_serializable(package="initfast")
InitfastInitializer.__module__ = "initfast.keras"
Initializer = _register(InitfastInitializer)
InitfastRandomInitializer.__module__ = "initfast.keras"
RandomInitializer = _register(InitfastRandomInitializer)

Constant = InitfastConstant = _adapted(constant.Constant)
GlorotNormal = InitfastGlorotNormal = _adapted(variance_scaling.GlorotNormal)
GlorotUniform = InitfastGlorotUniform = _adapted(variance_scaling.GlorotUniform)
HeNormal = InitfastHeNormal = _adapted(variance_scaling.HeNormal)
HeUniform = InitfastHeUniform = _adapted(variance_scaling.HeUniform)
Identity = InitfastIdentity = _adapted(constant.Identity)
LecunNormal = InitfastLecunNormal = _adapted(variance_scaling.LecunNormal)
LecunUniform = InitfastLecunUniform = _adapted(variance_scaling.LecunUniform)
Ones = InitfastOnes = _adapted(constant.Ones)
Orthogonal = InitfastOrthogonal = _adapted(orthogonal.Orthogonal)
RandomNormal = InitfastRandomNormal = _adapted(random.RandomNormal)
RandomUniform = InitfastRandomUniform = _adapted(random.RandomUniform)
STFT = InitfastSTFT = _adapted(stft.STFT)
TruncatedNormal = InitfastTruncatedNormal = _adapted(random.TruncatedNormal)
VarianceScaling = InitfastVarianceScaling = _adapted(variance_scaling.VarianceScaling)
Zeros = InitfastZeros = _adapted(constant.Zeros)

ADAPTED: dict[type[base.Initializer], type[base.Initializer]] = {
    plain: adapted
    for adapted in list(vars().values())
    if isinstance(adapted, type)
    and issubclass(adapted, InitfastInitializer)
    and (plain := adapted._plain) is not base.Initializer
}
"""The class of this module for each class of initfast."""
