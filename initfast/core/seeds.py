"""Seeds: 2**64 seeds with 2**64 streams each.

Element i of an array depends on (seed, stream, i), so two arrays with the same seed and stream
begin with the same values. A `Seed` is one stream; a `SeedGenerator` returns the next stream at
each draw."""

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
_set = object.__setattr__  # `Seed.__setattr__` always raises
_SEED_RULE = (
    "`seed` argument should be an instance of `initfast.Seed`, `initfast.SeedGenerator`, None "
    "or an integer in [0, 2**64). Received: seed={seed}"
)


class ReusedSeedWarning(UserWarning):
    """The warning that two arrays have the same values, because both use one fixed stream.

    It is issued once, for the line that makes the second array, in these cases:

    - an initializer with a fixed seed, or a copy of it, makes or fills two arrays;
    - a function of `initfast.torch` draws two tensors that exist at the same time, with one seed
      and without names;
    - `initfast.torch.initialize` is called with one seed for two single layers;
    - a forked process draws from its parent's `SeedGenerator`.

    There is no warning for parts of one array (`block`, `rows`, `fill` with an index, shards); for
    the same memory filled again; for two initializers, models or names with the same seed, which is
    how to make the same values again; and for initializers that were read from JSON or a pickle.
    """


def _word(name: str, value: object) -> int:
    """Return `value` as an integer in [0, 2**64), or raise ValueError; bool is not accepted."""
    if type(value) is int and 0 <= value < _WORDS:  # the common case
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} must be an integer in [0, 2**64); received {short(value)}")
    word = int(value)
    if not 0 <= word < _WORDS:
        raise ValueError(f"{name} must be an integer in [0, 2**64); received {short(word)}")
    return word


class Seed:
    """One stream of a seed; immutable and hashable. Two are equal if both draw the same values.

    Args:
        seed: integer in [0, 2**64), the key of the generator.
        stream: integer in [0, 2**64); default 0, which is also the stream of a plain integer seed.

    Raises:
        ValueError: if `seed` or `stream` is not such an integer.

    Example:
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
        """Return the name of the stream, or None."""
        return self._name

    def named(self, name: str) -> Seed:
        """Return the `Seed` of the stream that belongs to `name`.

        The number of the stream is the 8-byte BLAKE2b digest of the UTF-8 text, read as a
        little-endian integer. Names join with '/': `s.named("a").named("b") == s.named("a/b")`.

        Raises:
            ValueError: if the name is empty or not a string, or this Seed has a stream number,
                which the name would replace.
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"name must be a non-empty string; received {short(name)}")
        if self._name is None and self._stream:
            raise ValueError(
                "a Seed with a stream number cannot have a name, which sets the stream too; "
                f"received {self!r}"
            )
        path = name if self._name is None else f"{self._name}/{name}"
        import hashlib  # loads OpenSSL, which takes a tenth of the import time of initfast

        digest = hashlib.blake2b(path.encode("utf-8"), digest_size=8).digest()
        result = Seed(self._seed, int.from_bytes(digest, "little"))
        _set(result, "_name", path)
        return result

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config` as a dictionary for JSON."""
        if self._name is not None:
            return {"seed": self._seed, "name": self._name}
        return {"seed": self._seed, "stream": self._stream}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Seed:
        """Return the `Seed` of a config from `get_config`.

        Raises:
            ValueError: if the config lacks 'seed', or has a key or value that `Seed` does not have.
        """
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


_forks = 0  # the number of forks between the first process and this one


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class SeedGenerator:
    """A source of streams 0, 1, 2, ... of one seed, one per draw, as in Keras. Thread-safe.

    An initializer with a SeedGenerator makes different values at each call. For parts of one
    logical array use a fixed seed.

    Args:
        seed: integer in [0, 2**64), or None for one that is drawn once from Python's `random`.
        name: a label, because Keras' configs have one; it does not change the stream.

    Raises:
        ValueError: if `seed` is not such an integer.

    As in Keras, its config holds the seed and not the count: a clone starts again at 0. A pickle
    keeps the count. After a fork, parent and child have the same count, so the first draw in a
    child gives a ReusedSeedWarning: use a separate seed or name in each worker.

    Example:
        >>> generator = SeedGenerator(42)
        >>> generator.next(), generator.next()
        (Seed(42), Seed(42, stream=1))
    """

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
        """Return the next stream; the first is that of the plain integer seed."""
        if self._fork != _forks:
            self._fork = _forks
            warn(
                f"{self!r} was made before this process was forked: other workers draw the same "
                "values from it. Make one in each worker with a separate seed, or use named "
                f"streams: seed=Seed({self._seed}).named('worker 0/kernel').",
                ReusedSeedWarning,
            )
        with self._lock:
            count = self._count
            self._count = count + 1
        return Seed(self._seed, count)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config` for JSON: the constructor's seed and the name."""
        return {"seed": self._given, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SeedGenerator:
        """Return the generator of a config of initfast or Keras, with its count at 0.

        Raises:
            ValueError: if the config has a key or value that `SeedGenerator` does not have.
        """
        _check_keys("SeedGenerator", config, ("seed", "name"))
        return cls(config.get("seed"), config.get("name"))

    def __repr__(self) -> str:
        return (
            f"SeedGenerator({self._seed})"
            if not self._count
            else f"SeedGenerator({self._seed}, at={self._count})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _NOT_PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _fork=_forks)


_NOT_PICKLED = ("_lock", "_fork")  # each process has its own

AnySeed = int | np.integer[Any] | Seed | SeedGenerator | Mapping[str, Any] | None
"""The types of an initializer's `seed`; a mapping is a serialized Seed or SeedGenerator."""


def draw_seed() -> int:
    """Draw a seed from Python's `random`, which `keras.utils.set_random_seed` seeds."""
    import random  # loads hashlib

    return random.getrandbits(64)


def live_seed(seed: Seed | SeedGenerator | int | None) -> Seed | SeedGenerator:
    """Return the object that an initializer draws with, from the result of `given_seed`.

    None becomes a `Seed` that is drawn from `random`, an integer its `Seed`."""
    if isinstance(seed, (Seed, SeedGenerator)):
        return seed
    return Seed(draw_seed() if seed is None else seed)


def root_seed(seed: int | Seed | None) -> Seed:
    """Return the seed in which each tensor uses the stream of its name; None draws one.

    Raises:
        ValueError: if it is not an integer in [0, 2**64), or is a `Seed` with a stream number.
    """
    live = None if isinstance(seed, SeedGenerator) else live_seed(given_seed(seed))
    if not isinstance(live, Seed):
        raise ValueError(
            f"seed must be an integer in [0, 2**64), a Seed or None; received {seed!r}"
        )
    if live.stream and live.name is None:
        raise ValueError(
            "seed must not have a stream number, because each tensor uses the stream of its name; "
            f"received {seed!r}"
        )
    return live


def given_seed(seed: AnySeed) -> Seed | SeedGenerator | int | None:
    """Return a constructor's `seed`, checked and converted.

    NumPy integers become integers, and serialized seeds become objects.

    Raises:
        ValueError: if it is not a seed.
    """
    if seed is None or isinstance(seed, (Seed, SeedGenerator)):
        return seed
    if isinstance(seed, Mapping):
        return deserialize_seed(seed)
    try:
        return _word("seed", seed)
    except ValueError:
        raise ValueError(_SEED_RULE.format(seed=short(seed)) + shape_hint(seed)) from None


def serialize_seed(seed: Seed | SeedGenerator) -> dict[str, Any]:
    """Return a seed object as Keras serializes an object within a config."""
    name = "Seed" if isinstance(seed, Seed) else "SeedGenerator"
    return {
        "module": "initfast",
        "class_name": name,
        "config": seed.get_config(),
        "registered_name": None,
    }


def deserialize_seed(serialized: Mapping[str, Any]) -> Seed | SeedGenerator:
    """Return the object that `serialize_seed` or Keras (a SeedGenerator) has serialized.

    Raises:
        ValueError: if the mapping is not a serialized seed.
    """
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
