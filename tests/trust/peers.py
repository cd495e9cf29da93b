"""Measure known failures of other libraries' initial weights, together with initfast.

Each library runs in a separate process: `python tests/trust/peers.py LIBRARY SIZE` prints its
figures as JSON. Libraries that are not installed are left out of the rows. All rows need torch,
tensorflow-cpu, keras and jax."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

TRUNCATED, NARROW, HALF = 8_000_000, 2_000_000, 4_000_000
CHUNK = 2**24
RANGES = ((-0.05, 0.05), (1.0, 2.0))
Figures = dict[str, Any]


def draw_with_initfast() -> dict[str, Callable[..., Any]]:
    """Return the library's functions by distribution."""
    import initfast as ift

    return {
        "normal": lambda n, seed, dtype="float32": ift.RandomNormal(0.0, 1.0, seed=seed)(
            (n,), dtype
        ),
        "truncated": lambda n, seed: ift.TruncatedNormal(0.0, 1.0, seed=seed)((n,)),
        "uniform": lambda n, low, high: ift.RandomUniform(low, high, seed=1)((n,), "float16"),
    }


def draw_with_torch() -> dict[str, Callable[..., Any]]:
    """Return the library's functions by distribution."""
    import torch

    def values(n: int, seed: int, dtype: str, fill: Callable[[Any, Any], Any]) -> Any:
        return (
            fill(torch.empty(n, dtype=getattr(torch, dtype)), torch.Generator().manual_seed(seed))
            .double()
            .numpy()
        )

    init = torch.nn.init
    return {
        "normal": lambda n, seed, dtype="float32": values(
            n, seed, dtype, lambda t, g: init.normal_(t, generator=g)
        ),
        "truncated": lambda n, seed: values(
            n, seed, "float32", lambda t, g: init.trunc_normal_(t, generator=g)
        ),
        "uniform": lambda n, low, high: values(
            n, 1, "float16", lambda t, g: init.uniform_(t, low, high, generator=g)
        ),
    }


def draw_with_keras_on_torch() -> dict[str, Callable[..., Any]]:
    """Return the library's functions by distribution."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    init = keras.initializers
    return {
        "normal": lambda n, seed, dtype="float32": (
            init.RandomNormal(0.0, 1.0, seed)((n,), dtype).double().numpy()
        ),
        "truncated": lambda n, seed: init.TruncatedNormal(0.0, 1.0, seed)((n,)).numpy(),
        "uniform": lambda n, low, high: init.RandomUniform(low, high, 1)((n,), "float16").numpy(),
    }


def draw_with_jax() -> dict[str, Callable[..., Any]]:
    """Return the library's functions by distribution."""
    import jax

    random = jax.random
    return {
        "normal": lambda n, seed, dtype="float32": np.asarray(
            random.normal(random.key(seed), (n,), dtype)
        ),
        "truncated": lambda n, seed: np.asarray(
            random.truncated_normal(random.key(seed), -2.0, 2.0, (n,))
        ),
        "uniform": lambda n, low, high: np.asarray(
            random.uniform(random.key(1), (n,), "float16", low, high)
        ),
    }


def draw_with_tensorflow() -> dict[str, Callable[..., Any]]:
    """Return the library's functions by distribution."""
    import tensorflow as tf

    random = tf.random
    return {
        "normal": lambda n, seed, dtype="float32": random.stateless_normal(
            (n,), (seed, 0), dtype=dtype
        ).numpy(),
        "truncated": lambda n, seed: random.stateless_truncated_normal((n,), (seed, 0)).numpy(),
        "uniform": lambda n, low, high: random.stateless_uniform(
            (n,), (1, 0), low, high, tf.float16
        ).numpy(),
    }


def draw_with_numpy() -> dict[str, Callable[..., Any]]:
    """Return the library's functions by distribution."""
    return {
        "normal": lambda n, seed, dtype="float32": np.random.default_rng(seed).standard_normal(
            n, np.dtype(dtype)
        )
    }


LIBRARIES = {
    "initfast": (draw_with_initfast, "initfast"),
    "Keras on torch": (draw_with_keras_on_torch, "keras"),
    "torch": (draw_with_torch, "torch"),
    "JAX": (draw_with_jax, "jax"),
    "TensorFlow": (draw_with_tensorflow, "tensorflow-cpu"),
    "NumPy": (draw_with_numpy, "numpy"),
}


def look_at(library: str, size: int) -> Figures:
    """Return the figures of one library, for the distributions that it can draw."""
    draw = LIBRARIES[library][0]()
    figures: Figures = {}
    largest = 0.0
    for seed in range(size // CHUNK):
        largest = max(
            largest, float(np.abs(np.asarray(draw["normal"](CHUNK, seed), np.float32)).max())
        )
    figures["largest"] = largest
    if "truncated" in draw:
        figures["outside"] = int(
            (np.abs(np.asarray(draw["truncated"](TRUNCATED, 1), np.float64)) > 2).sum()
        )
        narrow = np.asarray(draw["normal"](NARROW, 1, "bfloat16")).astype(np.float64)
        figures["distinct"], figures["mean"] = len(np.unique(narrow)), float(narrow.mean())
        for low, high in RANGES:
            uniforms = np.asarray(draw["uniform"](HALF, low, high)).astype(np.float64)
            figures[f"reached {high:g}"] = int((uniforms >= float(np.float16(high))).sum())
    return figures


def run(quick: bool) -> list[Any]:
    """Return a row per failure, with all libraries."""
    from rows import Row

    size = 2**25 if quick else 2**30
    by_library: dict[str, Figures] = {}
    versions = []
    for library, (_, package) in LIBRARIES.items():
        command = [sys.executable, __file__, library, str(size)]
        try:
            versions.append(f"{library} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        by_library[library] = json.loads(process.stdout.splitlines()[-1])
        print(f"  {library}: {by_library[library]}", flush=True)

    def listed(key: str, digits: str = "d") -> str:
        return ", ".join(
            f"{library} {row[key]:{digits}}" for library, row in by_library.items() if key in row
        )

    ours = by_library["initfast"]
    power = size.bit_length() - 1
    rows = [
        Row(
            f"truncated normals outside their bounds, of {TRUNCATED:,} float32",
            "initfast 0",
            listed("outside"),
            ours["outside"] == 0,
        ),
        Row(
            f"distinct values among {NARROW:,} bfloat16 normals",
            "initfast above 3,800",
            listed("distinct"),
            ours["distinct"] > 3800,
        ),
        Row(
            f"their mean, in standard errors (1/sqrt({NARROW:,}))",
            "initfast within 4",
            ", ".join(
                f"{name} {row['mean'] * NARROW**0.5:+.1f}"
                for name, row in by_library.items()
                if "mean" in row
            ),
            abs(ours["mean"]) * NARROW**0.5 < 4,
        ),
        Row(
            f"largest of 2^{power} float32 normals, in sigma; {'5.4' if quick else '6.0'} "
            "is to be expected",
            "initfast above 5.2" if quick else "initfast above 5.8",
            listed("largest", ".2f"),
            ours["largest"] > (5.2 if quick else 5.8),
        ),
    ]
    for low, high in RANGES:
        what = f"float16 uniforms on [{low:g}, {high:g}) that are {high:g} as float16, of {HALF:,}"
        reached = f"reached {high:g}"
        # As float16, 0.05 is 0.04998, which [-0.05, 0.05) does contain.
        allowed = None if float(np.float16(high)) < high else ours[reached] == 0
        rows.append(Row(what, "-" if allowed is None else "initfast 0", listed(reached), allowed))
    return [*rows, Row("versions", "-", ", ".join(versions), None)]


if __name__ == "__main__":
    print(json.dumps(look_at(sys.argv[1], int(sys.argv[2]))))
