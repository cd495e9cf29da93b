"""The 17 initializers of Keras over those of initfast: rows over one base, each a subclass of its
namesake in both.
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

    Arguments are those of `initfast.{name}`, and the values are the same. A call returns the
    backend's own tensor; `block`, `rows` and `fill` return and take NumPy arrays. In a saved model
    it is 'initfast>Initfast{name}', which loads after `import initfast.keras`.{seed}
    """

_GENERATORS = """ `seed` may also be
    a `keras.random.SeedGenerator`, whose counter is then shared as in Keras."""


class InitfastInitializer(base.Initializer, keras.initializers.Initializer):  # type: ignore[misc]
    """Base class of all initializers here: Keras' interface over an initializer of initfast."""

    _plain: ClassVar[type[base.Initializer]] = base.Initializer

    @tensors.unconverted
    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        """Return a tensor of the backend, over our memory, which it adopts.

        Args:
            shape: the logical shape.
            dtype: a floating type by name, or any other dtype that Keras knows; default:
                `keras.config.floatx()`.
            layout: on JAX, a sharding over a mesh; then each device's block is computed by itself.

        In a scope in which Keras only infers shapes it returns placeholders, and draws nothing.
        """
        kind = tensors.named_dtype(dtype)
        found = tensors.placeholder(shape, kind)
        if found is not None:
            return found
        if layout is not None:
            return tensors.sharded(self.pinned(), _dims(shape), kind, layout)
        return tensors.adopt(super().__call__(shape, kind))

    def _refuse_keras(self) -> None:
        """Keras may call these."""


class _Random(InitfastInitializer, random.RandomInitializer):
    """One that draws. Its copies share its seed and have separate streams, see `copies`.

    The first among an initializer and its copies that draws has the stream of the seed, as in
    initfast; the next has the stream named 'copy 1', and so on. A copy of a copy is one more of
    them. What has been JSON starts again."""

    _kin: Kin | None = None
    _place: int | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the initializer of a config, ours or Keras'; a copy, if the config comes straight
        from `get_config`.
        """
        made = super().from_config(config)
        scope = ACTIVE.get()
        if (
            scope is not None
            and not isinstance(config, Config)
            and not isinstance(made.seed, SeedGenerator)
        ):
            made._kin = scope.kin(made.seed if isinstance(made.seed, Seed) else Seed(made.seed))
        return made

    def _join(self, origin: _Random) -> None:
        mine, theirs = self.seed, origin.seed
        if (
            isinstance(mine, SeedGenerator)
            and isinstance(theirs, SeedGenerator)
            and mine.seed == theirs.seed
        ):
            self._set_seed(theirs)
        elif (
            mine == theirs
        ):  # not so, if a seed of None was drawn again or Keras has put another in its place
            if origin._kin is None:
                origin._kin = Kin()
            self._kin = origin._kin

    def _set_seed(self, seed: AnySeed | keras.random.SeedGenerator) -> None:
        if isinstance(seed, keras.random.SeedGenerator):
            seed = KerasSeedGenerator(seed)
        super()._set_seed(seed)
        self._kin = self._place = None  # of another seed, it is nobody's copy

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
    """Base of your own initializers that draw, as `initfast.RandomInitializer`: write
    `for_shape(shape)`, and pass `seed` on. Register the class with Keras to save models that hold
    it.
    """


def _dims(shape: Any) -> indexing.Dims:
    return indexing.normalize_shape(tuple(shape))


def _adapted(plain: type[Plain]) -> type[Plain]:
    """Return the class `Initfast...` over an initializer of initfast and the one of Keras that has
    its name.

    Keras asks whether an initializer is its own VarianceScaling before it sets which axes of a
    kernel are inputs."""
    name = plain.__name__
    mine = _Random if issubclass(plain, random.RandomInitializer) else InitfastInitializer
    promise = (plain.__doc__ or "").splitlines()[0].strip().replace("{", "{{")
    seed = _GENERATORS if mine is _Random else ""
    made = type(
        KERAS_PREFIX + name,
        (mine, plain, getattr(keras.initializers, name)),
        {
            "__doc__": _DOC.format(name=name, promise=promise, seed=seed),
            "__module__": "initfast.keras",
            "_plain": plain,
        },
    )
    return cast(type[Plain], _register(made))


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
    plain: made
    for made in list(vars().values())
    if isinstance(made, type)
    and issubclass(made, InitfastInitializer)
    and (plain := made._plain) is not base.Initializer
}
"""The class here for each of initfast's."""
