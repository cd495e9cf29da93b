"""The libraries compared in each situation: parts of arrays, small calls and imports."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import rivals

import initfast as ift
from initfast.cli._race import NORMAL, as_numpy, check
from initfast.cli.bench import SEED

Call = Callable[[], Any]

# ---- parts of a logical array, float32 normals


class Part(NamedTuple):
    """A library in a situation; `prepare(size)` returns the call that makes a part of `size`
    elements.
    """

    situation: str
    library: str
    module: str
    prepare: Callable[[int], Call]


SHARDS, WIDTH = 8, 4096
COLUMNS = np.s_[:, 2 * WIDTH // SHARDS : 3 * WIDTH // SHARDS]  # the third shard
TABLE = (10**9, 128)


def _normal(seed: Any = SEED) -> ift.RandomNormal:
    return ift.RandomNormal(0.0, 1.0, seed=seed)


def _contiguous(size: int) -> Call:
    out = ift.Ones()((size // 512, 512))
    init = _normal()
    return lambda: init.fill(out)


def _column_shard(size: int) -> Call:
    out, init = ift.Ones()((size // 512, 512)), _normal()
    return lambda: init.fill(out, shape=(len(out), WIDTH), index=COLUMNS)


def _column_shard_in_place(size: int) -> Call:
    everything, init = ift.Ones()((size // 512, WIDTH)), _normal()
    return lambda: init.fill(everything[COLUMNS], shape=everything.shape, index=COLUMNS)


def _numpy_whole(size: int) -> Call:
    generator = np.random.Generator(np.random.SFC64(SEED))
    return lambda: generator.standard_normal((size // 512, WIDTH), dtype=np.float32)[COLUMNS].copy()


def _torch_whole(size: int) -> Call:
    import torch

    generator = torch.Generator().manual_seed(SEED)
    return lambda: torch.empty(size // 512, WIDTH).normal_(generator=generator)[COLUMNS].clone()


def row_ids(size: int) -> np.ndarray:
    """Return the ids of rows with `size` elements in all."""
    return np.random.default_rng(SEED).integers(0, TABLE[0], max(1, size // TABLE[1]))


def _rows_new(size: int) -> Call:
    init = _normal(ift.SeedGenerator(SEED))  # two arrays from one stream would warn
    return lambda: init((len(row_ids(size)), TABLE[1]))


def _rows(size: int) -> Call:
    ids, init = row_ids(size), _normal()
    return lambda: init.rows(TABLE, ids)


def _numpy_rows(size: int) -> Call:
    """Philox can start at any index of its stream, but each row needs a generator."""
    ids = row_ids(size)

    def run() -> np.ndarray:
        out = np.empty((len(ids), TABLE[1]), np.float32)
        for row, number in zip(out, ids, strict=True):
            generator = np.random.Generator(
                np.random.Philox(counter=[0, int(number), 0, 0], key=SEED)
            )
            generator.standard_normal(dtype=np.float32, out=row)
        return out

    return run


def _jax_rows(size: int) -> Call:
    import jax

    ids, key = np.asarray(row_ids(size), np.uint32), jax.random.key(SEED)
    make = jax.jit(
        jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), (TABLE[1],)))
    )
    return lambda: make(ids).block_until_ready()


PARTS = (
    Part("column shard", "initfast, contiguous", "initfast", _contiguous),
    Part("column shard", "initfast", "initfast", _column_shard),
    Part("column shard", "initfast, in the whole array", "initfast", _column_shard_in_place),
    Part("column shard", "numpy SFC64, generate all, then slice", "numpy", _numpy_whole),
    Part("column shard", "torch, generate all, then slice", "torch", _torch_whole),
    Part("rows by id", "initfast, contiguous", "initfast", _rows_new),
    Part("rows by id", "initfast", "initfast", _rows),
    Part("rows by id", "numpy Philox, one generator per row", "numpy", _numpy_rows),
    Part("rows by id", "jax, one key per row", "jax", _jax_rows),
)


def check_part(part: Part, result: Any, size: int) -> None:
    """Raise ValueError if values are not normal, or initfast's differ from those of the array."""
    values = as_numpy(result)
    check(NORMAL, np.ascontiguousarray(values))
    if part.library not in ("initfast", "initfast, in the whole array"):
        return
    init = _normal()
    if part.situation == "rows by id":
        expected = [init.block(TABLE, int(row)) for row in row_ids(size)[[0, -1]]]
    else:
        expected = [init.block((len(values), WIDTH), row)[COLUMNS[1]] for row in (0, -1)]
    if not np.array_equal(values[[0, -1]], expected):
        raise ValueError(f"{part.situation}: the part differs from the whole array")


# ---- one small matrix, as users of the library make it: he_normal((n, n))


class Small(NamedTuple):
    """A library; `prepare(side)` returns the call that makes a small matrix."""

    library: str
    module: str
    prepare: Callable[[int], Call]


def _initfast_small(side: int) -> Call:
    init = ift.HeNormal(seed=SEED)
    with warnings.catch_warnings():
        # Each call draws the same values, so initfast warns once: that happens here.
        warnings.simplefilter("ignore", ift.ReusedSeedWarning)
        init((side, side)), init((side, side))
    return lambda: init((side, side))


def _numpy_small(side: int, generator: str) -> Call:
    rng = np.random.Generator(getattr(np.random, generator)(SEED))
    return lambda: rng.standard_normal(side * side, dtype=np.float32)


def _torch_small(side: int) -> Call:
    import torch

    return lambda: torch.nn.init.kaiming_normal_(torch.empty(side, side))


def _jax_small(side: int) -> Call:
    import jax

    init, key = jax.nn.initializers.he_normal(), jax.random.key(SEED)
    return lambda: init(key, (side, side)).block_until_ready()


def _keras_small(side: int) -> Call:
    import keras

    init = keras.initializers.HeNormal(seed=SEED)
    return lambda: rivals.wait_for(init((side, side)))


def _tensorflow_small(side: int) -> Call:
    import tensorflow

    generator = tensorflow.random.Generator.from_seed(SEED, alg="philox")
    return lambda: generator.truncated_normal((side, side))


SMALL = (
    Small("initfast", "initfast", _initfast_small),
    *(
        Small(f"numpy {name}", "numpy", functools.partial(_numpy_small, generator=name))
        for name in ("PCG64", "SFC64", "Philox")
    ),
    Small("torch", "torch", _torch_small),
    Small("jax", "jax", _jax_small),
    Small("tensorflow", "tensorflow", _tensorflow_small),
    Small(rivals.keras_name(), "keras", _keras_small),
)

# ---- import

IMPORTS = ("numpy", "initfast", "torch", "jax", "keras", "tensorflow", "mkl_random")


def import_command(module: str) -> list[str]:
    """Return the command of a process that imports a module, or nothing for 'python'."""
    return [sys.executable, "-c", "pass" if module == "python" else f"import {module}"]
