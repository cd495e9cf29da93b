"""Convert initializers from and to Keras' JSON, old and new, with the 41 names of Keras."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, overload

from initfast.core.seeds import AnySeed
from initfast.core.text import line, short
from initfast.initializers import constant, orthogonal, random, stft, variance_scaling
from initfast.initializers.base import Initializer
from initfast.initializers.random import RandomInitializer

__all__ = ["ALL_OBJECTS", "deserialize", "serialize", "unknown_name"]

_CLASSES: tuple[type[Initializer], ...] = (
    Initializer,
    constant.Constant,
    constant.Identity,
    constant.Ones,
    stft.STFT,
    constant.Zeros,
    variance_scaling.GlorotNormal,
    variance_scaling.GlorotUniform,
    variance_scaling.HeNormal,
    variance_scaling.HeUniform,
    variance_scaling.LecunNormal,
    variance_scaling.LecunUniform,
    orthogonal.Orthogonal,
    random.RandomNormal,
    random.RandomUniform,
    random.TruncatedNormal,
    variance_scaling.VarianceScaling,
)


def _snake_case(name: str) -> str:
    """Return a class name in snake case, as Keras does: RandomNormal is random_normal."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


ALL_OBJECTS: dict[str, type[Initializer]] = {
    **{kind.__name__: kind for kind in _CLASSES},
    **{_snake_case(kind.__name__): kind for kind in _CLASSES},
    "IdentityInitializer": constant.Identity,
    "normal": random.RandomNormal,
    "one": constant.Ones,
    "STFTInitializer": stft.STFT,
    "OrthogonalInitializer": orthogonal.Orthogonal,
    "uniform": random.RandomUniform,
    "zero": constant.Zeros,
}
"""The class of each name of Keras."""

KERAS_PREFIX = "Initfast"
"""The prefix of class names in a Keras model: without it, Keras would use its own class."""

_MODULES = ("initfast", "keras", "tf_keras", "tensorflow.keras")


@overload
def serialize(initializer: None) -> None: ...
@overload
def serialize(initializer: Initializer) -> dict[str, Any]: ...
def serialize(initializer: Initializer | None) -> dict[str, Any] | None:
    """Return the JSON form of an `initializer`, in Keras' format.

    The class is named 'InitfastHeNormal' and so on, as in a saved Keras model. Keras reads it after
    `import initfast.keras`; without this import Keras refuses it.

    Raises:
        ValueError: `initializer` is not an initializer of initfast.

    >>> serialize(variance_scaling.HeNormal(seed=1))["config"]
    {'seed': 1, 'input_axes': None, 'output_axes': None}
    """
    if initializer is None:
        return None
    name = type(initializer).__name__
    if ALL_OBJECTS.get(name) is not type(initializer):
        raise ValueError(f"serialize takes the initializers of initfast; received {initializer!r}")
    return {
        "module": "initfast",
        "class_name": KERAS_PREFIX + name,
        "config": dict(initializer.get_config()),
        "registered_name": f"initfast>{KERAS_PREFIX}{name}",
    }


@overload
def deserialize(config: None, identifier: Any = None, seed: AnySeed = None) -> None: ...
@overload
def deserialize(
    config: Mapping[str, Any], identifier: Any = None, seed: AnySeed = None
) -> Initializer: ...
def deserialize(
    config: Mapping[str, Any] | None, identifier: Any = None, seed: AnySeed = None
) -> Initializer | None:
    """Return the initializer of a JSON form of initfast or Keras, old (`class_name` and `config`)
    or new.

    Args:
        config: `{"class_name": one of the 41 names, "config": arguments}`. "config" may be missing.
            "module", if present, must be a module of Keras or initfast, and "registered_name" must
            not belong to another class. The names in saved Keras models, such as
            'InitfastHeNormal', are also accepted.
        identifier: the object to show in error messages; default: `config`.
        seed: the seed of a random initializer whose config has no seed.

    Raises:
        ValueError: `config` does not describe an initializer, or an argument is wrong.

    >>> deserialize({"class_name": "HeNormal", "config": {"seed": 1}})
    HeNormal(seed=1)
    """
    if config is None:
        return None
    if identifier is None:
        identifier = config
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise ValueError(f"Could not interpret initializer identifier: {line(identifier)}")
    name: str = config["class_name"]
    registered = config.get("registered_name")
    if name.startswith(KERAS_PREFIX) and registered in (None, f"initfast>{name}"):
        name, registered = name.removeprefix(KERAS_PREFIX), None
    arguments = config.get("config")
    kind = ALL_OBJECTS.get(name)
    if kind is None:
        raise unknown_name(name, ALL_OBJECTS, identifier)
    module = config.get("module")
    supported = module is None or f"{module}.".startswith(tuple(f"{each}." for each in _MODULES))
    if not supported or registered not in (None, name):
        raise ValueError(f"Could not interpret initializer identifier: {line(identifier)}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise ValueError(
            f"the config of an initializer must be a dict; received {short(arguments)}"
        )
    if seed is not None and issubclass(kind, RandomInitializer) and arguments.get("seed") is None:
        arguments = {**arguments, "seed": seed}
    return kind.from_config(arguments)


def unknown_name(name: str, names: Iterable[str], identifier: Any) -> ValueError:
    """Return Keras' error for an unknown name, with the most similar of the known `names`."""
    near = _nearest(name, [each for each in names if each.lower() != "initializer"])
    hint = f". Did you mean {near!r}?" if near else ""
    return ValueError(f"Could not interpret initializer identifier: {line(identifier)}{hint}")


_LONGEST = 100  # characters; a longer name is not a misspelling
_SYNONYMS = {"xavier": "glorot", "kaiming": "he", "msra": "he"}


def _nearest(name: str, names: list[str]) -> str | None:
    """Return a known name of the same distribution in another spelling, or a similar name."""
    if len(name) > _LONGEST:
        return None
    plain = _snake_case(name.rpartition(".")[2])
    if plain in names:
        return plain
    family, _, rest = plain.partition("_")
    similar = difflib.get_close_matches(family, _SYNONYMS, n=1, cutoff=0.8)
    for each in (family, *similar, *(_SYNONYMS[other] for other in similar)):
        of_family = [choice for choice in names if choice.startswith(f"{each}_")]
        if of_family:
            return difflib.get_close_matches(f"{each}_{rest}", of_family, n=1, cutoff=0.0)[0]
    near = difflib.get_close_matches(plain, names, n=1)
    return near[0] if near else None
