"""The 17 initializers of Keras over those of initfast: rows over one base, each a subclass of its namesake in both."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar, cast

import keras

from initfast import base, constants, fourier, initializers, layout, orthogonals
from initfast.keras import tensors
from initfast.keras.copies import ACTIVE, Config, Kin, stream_of_copy
from initfast.seeds import Seed, SeedGenerator

Plain = TypeVar("Plain", bound=base.Initializer)

_DOC = """`initfast.{name}` for Keras: {promise}

    Arguments are those of `initfast.{name}`, and the values are the same. A call returns the backend's own tensor;
    `block`, `rows` and `fill` return and take NumPy arrays. In a saved model it is 'initfast>Initfast{name}', which
    loads after `import initfast.keras`.
    """


class InitfastInitializer(base.Initializer, keras.initializers.Initializer):  # type: ignore[misc]
    """Base class of all initializers here: what Keras asks of one, over an initializer of initfast."""

    _plain: ClassVar[type[base.Initializer]] = base.Initializer

    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        """A tensor of the backend, over memory of our own that it adopts.

        Args:
            shape: the logical shape.
            dtype: a floating type by name, or any other dtype that Keras knows; default: `keras.config.floatx()`.
            layout: on JAX, a sharding over a mesh; then each device's block is computed by itself.

        In a scope in which Keras only infers shapes it returns placeholders, and draws nothing.
        """
        kind = tensors.named_dtype(dtype)
        found = tensors.placeholder(shape, kind)
        if found is not None:
            return found
        if layout is not None:
            return tensors.sharded(self._fixed(), _dims(shape), kind, layout)
        return tensors.adopt(super().__call__(shape, kind))

    def _fixed(self) -> base.Initializer:
        """An initializer that draws at every call what this one draws at its next."""
        return self


class _Random(InitfastInitializer, base.RandomInitializer):
    """One that draws. Its copies share its seed and have streams of their own, see `copies`.

    The first among an initializer and its copies that draws has the stream of the seed, as in initfast; the next has
    the stream named 'copy 1', and so on. A copy of a copy is one more of them. What has been JSON starts anew.
    """

    _kin: Kin | None = None
    _place: int | None = None

    def get_config(self) -> dict[str, Any]:
        return Config(super().get_config(), self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The initializer of a config, ours or Keras'; a copy, if the config comes straight from `get_config`."""
        made = super().from_config(config)
        scope = ACTIVE.get()
        if isinstance(config, Config):
            made._join(config.origin)
        elif scope is not None and isinstance(made._live_seed, Seed):
            made._kin = scope.kin(made._live_seed)
        return made

    def _join(self, origin: _Random) -> None:
        mine, live = self._live_seed, origin._live_seed
        if isinstance(mine, SeedGenerator) and isinstance(live, SeedGenerator) and mine.seed == live.seed:
            self._given_seed = self._live_seed = live
        elif mine == live:  # not so, if a seed of None was drawn anew or Keras has put another in its place
            if origin._kin is None:
                origin._kin = Kin()
            self._kin = origin._kin

    def _whole_seed(self) -> Seed:
        return self._own(super()._whole_seed())

    def _part_seed(self) -> Seed:
        return self._own(super()._part_seed())

    def _own(self, seed: Seed) -> Seed:
        if isinstance(self._live_seed, SeedGenerator):
            return seed
        if self._place is None:
            if self._kin is None:
                self._kin = Kin()
            self._place = self._kin.place()
        return stream_of_copy(seed, self._place)

    def _fixed(self) -> base.Initializer:
        fixed = copy.copy(self)
        fixed._given_seed = fixed._live_seed = self._whole_seed()
        fixed._place = 0
        return fixed


def _dims(shape: Any) -> layout.Dims:
    return layout.normalize_shape(tuple(shape))


def _adapted(plain: type[Plain]) -> type[Plain]:
    """The class `Initfast...` over an initializer of initfast and the one of Keras that has its name.

    Keras asks whether an initializer is its own VarianceScaling before it tells it which axes of a kernel are inputs.
    """
    name = plain.__name__
    mine = _Random if issubclass(plain, base.RandomInitializer) else InitfastInitializer
    promise = (plain.__doc__ or "").splitlines()[0].strip().replace("{", "{{")
    made = type(
        f"Initfast{name}",
        (mine, plain, getattr(keras.initializers, name)),
        {"__doc__": _DOC.format(name=name, promise=promise), "__module__": "initfast.keras", "_plain": plain},
    )
    return cast(type[Plain], _register(made))


_register = keras.saving.register_keras_serializable(package="initfast")
InitfastInitializer.__module__ = "initfast.keras"
Initializer = _register(InitfastInitializer)

Constant = InitfastConstant = _adapted(constants.Constant)
GlorotNormal = InitfastGlorotNormal = _adapted(initializers.GlorotNormal)
GlorotUniform = InitfastGlorotUniform = _adapted(initializers.GlorotUniform)
HeNormal = InitfastHeNormal = _adapted(initializers.HeNormal)
HeUniform = InitfastHeUniform = _adapted(initializers.HeUniform)
Identity = InitfastIdentity = _adapted(constants.Identity)
LecunNormal = InitfastLecunNormal = _adapted(initializers.LecunNormal)
LecunUniform = InitfastLecunUniform = _adapted(initializers.LecunUniform)
Ones = InitfastOnes = _adapted(constants.Ones)
Orthogonal = InitfastOrthogonal = _adapted(orthogonals.Orthogonal)
RandomNormal = InitfastRandomNormal = _adapted(initializers.RandomNormal)
RandomUniform = InitfastRandomUniform = _adapted(initializers.RandomUniform)
STFT = InitfastSTFT = _adapted(fourier.STFT)
TruncatedNormal = InitfastTruncatedNormal = _adapted(initializers.TruncatedNormal)
VarianceScaling = InitfastVarianceScaling = _adapted(initializers.VarianceScaling)
Zeros = InitfastZeros = _adapted(constants.Zeros)

ADAPTED: dict[type[base.Initializer], type[base.Initializer]] = {
    plain: made
    for made in list(vars().values())
    if isinstance(made, type)
    and issubclass(made, InitfastInitializer)
    and (plain := made._plain) is not base.Initializer
}
"""The class here for each of initfast's."""
