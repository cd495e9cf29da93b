"""Initializers from and to Keras' JSON, old and new, under the 41 strings of Keras."""

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

__all__ = ["ALL_OBJECTS", "deserialize", "serialize", "unknown"]

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
    """Keras' rule: RandomNormal is random_normal, STFT is stft."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


ALL_OBJECTS: dict[str, type[Initializer]] = {
    **{made.__name__: made for made in _CLASSES},
    **{_snake_case(made.__name__): made for made in _CLASSES},
    "IdentityInitializer": constant.Identity,
    "normal": random.RandomNormal,
    "one": constant.Ones,
    "STFTInitializer": stft.STFT,
    "OrthogonalInitializer": orthogonal.Orthogonal,
    "uniform": random.RandomUniform,
    "zero": constant.Zeros,
}
"""Every name of Keras, and its class."""

KERAS_PREFIX = "Initfast"
"""Before the name of a class in a Keras model: by its bare name Keras would take its own class."""

_MODULES = ("initfast", "keras", "tf_keras", "tensorflow.keras")


@overload
def serialize(initializer: None) -> None: ...
@overload
def serialize(initializer: Initializer) -> dict[str, Any]: ...
def serialize(initializer: Initializer | None) -> dict[str, Any] | None:
    """Return the JSON form of an initializer, laid out as Keras lays it out.

    Its class is named 'InitfastHeNormal' and so on, as in a saved Keras model, so that Keras reads
    it after `import initfast.keras`, refuses it before, and never takes it for its own.

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
    """Return the initializer of a JSON form: ours, or that of Keras, old (`class_name` and
    `config`) or new.

    Args:
        config: `{"class_name": one of the 41 strings, "config": arguments}`; "config" may be
            missing, "module" must then be that of Keras or initfast, and "registered_name" must not
            be that of a class of someone else. A class may have its name in a saved Keras model,
            such as 'InitfastHeNormal'.
        identifier: what error messages show; default: `config`.
        seed: the seed of a random initializer whose config has none.
    """
    if config is None:
        return None
    shown = config if identifier is None else identifier
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise ValueError(f"Could not interpret initializer identifier: {line(shown)}")
    name: str = config["class_name"]
    registered = config.get("registered_name")
    if name.startswith(KERAS_PREFIX) and registered in (None, f"initfast>{name}"):
        name, registered = name.removeprefix(KERAS_PREFIX), None
    arguments = config.get("config")
    kind = ALL_OBJECTS.get(name)
    if kind is None:
        raise unknown(name, ALL_OBJECTS, shown)
    module = config.get("module")
    known = module is None or f"{module}.".startswith(tuple(f"{ours}." for ours in _MODULES))
    if not known or registered not in (None, name):
        raise ValueError(f"Could not interpret initializer identifier: {line(shown)}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise ValueError(
            f"the config of an initializer must be a dict; received {short(arguments)}"
        )
    if seed is not None and issubclass(kind, RandomInitializer) and arguments.get("seed") is None:
        arguments = {**arguments, "seed": seed}
    return kind.from_config(arguments)


def unknown(name: str, known: Iterable[str], shown: Any) -> ValueError:
    """Return Keras' error for an unknown name, with the nearest of the known ones."""
    near = _nearest(name, [each for each in known if each.lower() != "initializer"])
    hint = f". Did you mean {near!r}?" if near else ""
    return ValueError(f"Could not interpret initializer identifier: {line(shown)}{hint}")


_LONGEST = 100  # characters of a name that may be a misspelling
_SYNONYMS = {"xavier": "glorot", "kaiming": "he", "msra": "he"}


def _nearest(name: str, known: list[str]) -> str | None:
    """Return the name of the same distribution in another spelling or library, or a similar one."""
    if len(name) > _LONGEST:
        return None
    plain = _snake_case(name.rpartition(".")[2])
    if plain in known:
        return plain
    family, _, rest = plain.partition("_")
    similar = difflib.get_close_matches(family, _SYNONYMS, n=1, cutoff=0.8)
    for each in (family, *similar, *(_SYNONYMS[other] for other in similar)):
        same = [choice for choice in known if choice.startswith(f"{each}_")]
        if same:
            return difflib.get_close_matches(f"{each}_{rest}", same, n=1, cutoff=0.0)[0]
    near = difflib.get_close_matches(plain, known, n=1)
    return near[0] if near else None
