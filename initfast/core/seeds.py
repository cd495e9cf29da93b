"""Seeds: which of the 2**64 streams of which of the 2**64 seeds an array is drawn from.

Element i of an array depends on (seed, stream, i), so two arrays drawn with the same seed and
stream begin with the same values. A `Seed` names one stream; a `SeedGenerator` hands out one stream
after the other."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from initfast.core.indexing import shape_hint
from initfast.core.text import short
from initfast.core.warn import warn

__all__ = ["ReusedSeedWarning", "Seed", "SeedGenerator"]

_WORDS = 2**64
_set = object.__setattr__  # for objects that refuse theirs
_SEED_RULE = (
    "`seed` argument should be an instance of `initfast.Seed`, `initfast.SeedGenerator`, None "
    "or an integer in [0, 2**64). Received: seed={seed}"
)


class ReusedSeedWarning(UserWarning):
    """A second whole array was made of one fixed stream: both hold the same values.

    It comes once, and points to the line that made the second array: if an initializer of a fixed
    seed, or a copy of it, makes two arrays or fills two; if a function of `initfast.torch` draws
    two tensors that exist at the same time with one seed and no names; if `initfast.torch.
    initialize` is called with one seed for two single layers; if a forked process draws from its
    parent's `SeedGenerator`.

    No fault, and silent: parts of one array (`block`, `rows`, `fill` with an index, shards); the
    same memory filled again; two initializers, models or names that were given the same seed, as
    one does to make the same values again; what has been JSON or a pickle in between.
    """


def _word(name: str, value: object) -> int:
    """`value` as a 64-bit word; booleans, floats and arrays are not numbers of a stream."""
    if type(value) is int and 0 <= value < _WORDS:  # nearly always
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} must be an integer in [0, 2**64); received {short(value)}")
    word = int(value)
    if not 0 <= word < _WORDS:
        raise ValueError(f"{name} must be an integer in [0, 2**64); received {short(word)}")
    return word


class Seed:
    """One stream of a seed; immutable, hashable, equal to another if both draw the same values.

    Args:
        seed: integer in [0, 2**64), the key of the generator.
        stream: integer in [0, 2**64); default 0, the stream that a plain integer seed means.

    >>> Seed(42).named("decoder/3").named("kernel") == Seed(42).named("decoder/3/kernel")
    True
    """

    __slots__ = ("_name", "_seed", "_stream")
    _seed: int
    _stream: int
    _name: str | None

    def __init__(self, seed: int, stream: int = 0) -> None:
        _set(self, "_seed", _word("seed", seed))
        _set(self, "_stream", _word("stream", stream))
        _set(self, "_name", None)

    @property
    def seed(self) -> int:
        """Return the key of the generator."""
        return self._seed

    @property
    def stream(self) -> int:
        """Return the number of the stream."""
        return self._stream

    @property
    def name(self) -> str | None:
        """Return the name that chose the stream, or None."""
        return self._name

    def named(self, name: str) -> Seed:
        """Return the stream of `name`: the first 8 bytes, little-endian, of BLAKE2b-64 of its text.

        Names join with '/': `s.named("a").named("b") == s.named("a/b")`.

        Raises:
            ValueError: the name is empty or not a string, or the stream was chosen by number, which
                a name would undo.
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"name must be a non-empty string; received {short(name)}")
        if self._name is None and self._stream:
            raise ValueError(
                "a name chooses the stream, which must not be chosen by number too; received "
                f"{self!r}"
            )
        path = name if self._name is None else f"{self._name}/{name}"
        import hashlib  # brings OpenSSL: as long to load as a tenth of initfast

        digest = hashlib.blake2b(path.encode("utf-8"), digest_size=8).digest()
        made = Seed(self._seed, int.from_bytes(digest, "little"))
        _set(made, "_name", path)
        return made

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs, as JSON can hold it."""
        if self._name is not None:
            return {"seed": self._seed, "name": self._name}
        return {"seed": self._seed, "stream": self._stream}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Seed:
        """Return the seed of a config made by `get_config`."""
        _check_keys("Seed", config, ("seed", "stream", "name"))
        seed = cls(config["seed"], config.get("stream", 0))
        return seed if config.get("name") is None else seed.named(config["name"])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Seed is immutable; received {name} = {value!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Seed is immutable; received del {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Seed):
            return NotImplemented
        return (self._seed, self._stream) == (other._seed, other._stream)

    def __hash__(self) -> int:
        return hash((self._seed, self._stream))

    def __repr__(self) -> str:
        if self._name is not None:
            return f"Seed({self._seed}).named({self._name!r})"
        return (
            f"Seed({self._seed}, stream={self._stream})" if self._stream else f"Seed({self._seed})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Seed.from_config, (self.get_config(),)


_forks = 0  # how often this process and those it comes from were forked off


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class SeedGenerator:
    """A new stream at each draw, as in Keras: streams 0, 1, 2, ... of one seed. Thread-safe.

    An initializer that holds it makes different values at each call. For parts of one logical array
    use a fixed seed.

    Args:
        seed: integer in [0, 2**64), or None: drawn once from Python's `random`.
        name: a label, kept because Keras' configs have it; it does not choose the stream.

    Its config holds the seed and not the count, as in Keras: a clone starts again. A pickle keeps
    the count. After a fork, parent and child hold the same count, so that the first draw in a child
    is a ReusedSeedWarning: give each worker a separate seed or name."""

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self._given = None if seed is None else _word("seed", seed)
        self._seed = draw_seed() if self._given is None else self._given
        self._count = 0
        self._lock = threading.Lock()
        self._fork = _forks
        self.name = "seed_generator" if name is None else name

    @property
    def seed(self) -> int:
        """Return the key of the generator."""
        return self._seed

    @property
    def counter(self) -> int:
        """Return the stream that the next draw uses."""
        return self._count

    def next(self) -> Seed:
        """Return the next stream; the first equals the plain integer seed."""
        if self._fork != _forks:
            self._fork = _forks
            warn(
                f"{self!r} was made before this process was forked: other workers draw the same "
                "values from it. Make one in each worker, with a separate seed, or name the "
                f"streams, seed=Seed({self._seed}).named('worker 0/kernel').",
                ReusedSeedWarning,
            )
        with self._lock:
            count = self._count
            self._count = count + 1
        return Seed(self._seed, count)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config` for JSON: the constructor's seed, not the count."""
        return {"seed": self._given, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SeedGenerator:
        """Return the generator of a config, ours or Keras', with its count at 0."""
        _check_keys("SeedGenerator", config, ("seed", "name"))
        return cls(config.get("seed"), config.get("name"))

    def __repr__(self) -> str:
        return (
            f"SeedGenerator({self._seed})"
            if not self._count
            else f"SeedGenerator({self._seed}, at={self._count})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _OF_THE_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _fork=_forks)


_OF_THE_PROCESS = ("_lock", "_fork")

AnySeed = int | np.integer[Any] | Seed | SeedGenerator | Mapping[str, Any] | None
"""What an initializer takes as `seed`; the mapping is the serialized form of a Seed or
SeedGenerator.
"""


def draw_seed() -> int:
    """Draw a seed from Python's `random`, so that `keras.utils.set_random_seed` governs it."""
    import random  # brings hashlib

    return random.getrandbits(64)


def live_seed(given: Seed | SeedGenerator | int | None) -> Seed | SeedGenerator:
    """Return what an initializer draws with, given what `given_seed` returned."""
    if isinstance(given, (Seed, SeedGenerator)):
        return given
    return Seed(draw_seed() if given is None else given)


def root_seed(seed: int | Seed | None) -> Seed:
    """Return the seed in which tensors have streams by name; None draws one from `random`.

    Raises:
        ValueError: it is not an integer in [0, 2**64), or is a `Seed` whose stream was chosen by
            number.
    """
    live = None if isinstance(seed, SeedGenerator) else live_seed(given_seed(seed))
    if not isinstance(live, Seed):
        raise ValueError(
            f"seed must be an integer in [0, 2**64), a Seed or None; received {seed!r}"
        )
    if live.stream and live.name is None:
        raise ValueError(
            f"seed must leave the streams to the names of the tensors; received {seed!r}"
        )
    return live


def given_seed(seed: AnySeed) -> Seed | SeedGenerator | int | None:
    """Check the constructor's `seed`: NumPy integers become ints, serialized seeds objects."""
    if seed is None or isinstance(seed, (Seed, SeedGenerator)):
        return seed
    if isinstance(seed, Mapping):
        return deserialize_seed(seed)
    try:
        return _word("seed", seed)
    except ValueError:
        raise ValueError(_SEED_RULE.format(seed=short(seed)) + shape_hint(seed)) from None


def serialize_seed(seed: Seed | SeedGenerator) -> dict[str, Any]:
    """Return a seed object in the form in which Keras nests objects in a config."""
    name = "Seed" if isinstance(seed, Seed) else "SeedGenerator"
    return {
        "module": "initfast",
        "class_name": name,
        "config": seed.get_config(),
        "registered_name": None,
    }


def deserialize_seed(serialized: Mapping[str, Any]) -> Seed | SeedGenerator:
    """Return the seed object of `serialize_seed`, or of the SeedGenerator that Keras serialized."""
    config = serialized.get("config", {})
    if isinstance(config, Mapping):
        if serialized.get("class_name") == "SeedGenerator":
            return SeedGenerator.from_config(config)
        if serialized.get("class_name") == "Seed":
            return Seed.from_config(config)
    raise ValueError(_SEED_RULE.format(seed=short(serialized)))


def _check_keys(kind: str, config: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    unknown = [key for key in config if key not in allowed]
    if unknown:
        raise ValueError(
            f"the config of {kind} takes {', '.join(map(repr, allowed))}; received {unknown[0]!r}"
        )
    if kind == "Seed" and "seed" not in config:
        raise ValueError("the config of Seed must hold 'seed'")
