"""Uses of the public names for a type checker. No code here runs; mypy reads it in strict mode with
the package.

An `ignore` marks a use that the checker must refuse. If it does not, mypy reports an unused comment
and fails."""

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import initfast as ift
from initfast.typing import Array, DTypeLike, Index, SeedLike, Shape


def values() -> None:
    init = ift.HeNormal(seed=42)
    assert_type(init((1000, 768)), Array)
    assert_type(init(8, "bfloat16"), Array)
    assert_type(init([np.int64(3), 4], dtype=np.float64), Array)
    assert_type(init.block((10, 10), np.s_[2:4, ..., None], dtype=np.dtype("float16")), Array)
    assert_type(init.block((10, 10), 3), Array)
    assert_type(init.rows((10**9, 128), np.array([3, 1])), Array)
    assert_type(init.rows((10, 8), [1, 2]), Array)
    assert_type(ift.random_bits((4, 4), seed=1), npt.NDArray[np.uint32])
    init("12")  # type: ignore[arg-type]
    init((1.5, 2))  # type: ignore[arg-type]
    init((3, 3), dtype=32)  # type: ignore[arg-type]
    init.block((10, 10), 1.5)  # type: ignore[arg-type]


def fills(out: npt.NDArray[np.float32], raw: bytearray) -> None:
    init = ift.TruncatedNormal(stddev=0.02, lower=-3.0, upper=3.0, seed=ift.Seed(1).named("kernel"))
    assert_type(init.fill(out), npt.NDArray[np.float32])
    assert_type(init.fill(raw, (16,), dtype="float32"), bytearray)
    assert_type(init.fill(out, shape=(100, 8), index=np.s_[3:, 1]), npt.NDArray[np.float32])


def seeds(anything: SeedLike) -> None:
    ift.GlorotUniform(seed=anything)
    ift.RandomNormal(0.0, 0.05, seed=ift.SeedGenerator(3))
    ift.RandomUniform(seed="42")  # type: ignore[arg-type]
    ift.RandomUniform(seed=1.0)  # type: ignore[arg-type]
    assert_type(ift.Seed(1).named("a"), ift.Seed)
    assert_type(ift.HeNormal(seed=1).clone(), ift.HeNormal)
    assert_type(ift.HeNormal.from_config({"seed": 1}), ift.HeNormal)


def registry() -> None:
    assert_type(ift.get("he_normal"), ift.Initializer)
    assert_type(ift.get(None), None)
    assert_type(ift.get(ift.Zeros), ift.Zeros)
    assert_type(ift.get(ift.he_normal(seed=1)), ift.HeNormal)
    assert_type(ift.serialize(ift.Zeros()), dict[str, Any])
    assert_type(ift.deserialize({"class_name": "zeros"}), ift.Initializer)
    ift.serialize("zeros")  # type: ignore[call-overload]


def settings() -> None:
    with ift.threads(2), ift.backends.use("portable"):
        assert_type(ift.get_num_threads(), int)
    assert_type(ift.backends.available(), tuple[str, ...])
    assert_type(ift.compute_fans((3, 4)), tuple[int, int])
    ift.set_num_threads("2")  # type: ignore[arg-type]
    print(ift.unknown)  # type: ignore[attr-defined]


class Mine(ift.Initializer):
    """A user's own initializer, as in Keras' documentation, inherits all other methods."""

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        return ift.Ones()(shape, dtype)


def own(index: Index) -> None:
    assert_type(Mine().block((3, 3), index), Array)
