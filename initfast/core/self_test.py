"""Known values of stream version 1, with which `initfast verify --self` tests an installation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from initfast import _kernels, backends
from initfast.core import distributions
from initfast.core.dtypes import resolve

SEED, STREAM = 0x0123456789ABCDEF, 0xFEDCBA9876543210
# The range includes the first element whose block number needs more than 32 bits, and is not a
# whole number of tiles.
FIRST, COUNT = 2**33 - 1001, 4099

# SHA-256 of the elements in memory order, for each distribution with its parameters and each dtype.
KNOWN: dict[tuple[Any, ...], dict[str, str]] = {
    ("uniform", -0.05, 0.05): {
        "float32": "caedfc909700990c350100d147411092eeab53f6e39b7fe9b75f2bab6ef2c8a9",
        "float64": "d191fbea9b17306de7fee591c7cc7f54349172b52d7d2b10d1f3cb745e54d3d1",
        "bfloat16": "606a651280022af2f97cfe3f6da1a2694b3c51b33bf7fffbe7a960874ffabf01",
    },
    ("uniform", 3.0, 3.5): {
        "float16": "5815d8f08a3620bda3a0019508f12896dc2cf69d7970890abf5cae3214f6348b",
    },
    ("normal", 0.0, 1.0): {
        "float32": "38d9ac50ad228360143ac4a17a16c1d3dd3b7ce2c20ca1b41e49318134b7aa6b",
        "float64": "96d5e24f2f70ecb381b7040ae8fa89abaac54d22f8dfe641cc3fc3befb73d87b",
        "bfloat16": "0ee385afad55a12285aa08f036790ada51727151ecd801b9e602e34cffaa696d",
        "float16": "4a8401e6c1eb29bd6509fa1a17dcde53f60818e95eb8164c3b36d7fdbe851dc8",
    },
    ("normal", 0.5, 0.02): {
        "float64": "b1ee110b3618d45b57ab9bb2fcbb46914233605237ae2f0f278ed5f66d7162f2",
    },
    ("truncated_normal", 0.0, 0.05, -2.0, 2.0): {
        "float32": "864564d989dab2729c39bee7603a3c7f3467dc81e3fceaa77f2821f94748b10e",
        "float64": "7950b8fbb56eb62fe7cba804fa1a31139972cb18e76f0f5249214f5c187d0c1f",
        "bfloat16": "80a533a48bfe3b6f2c56ba2e885b9dc2e9ce31dc3b47336c2683d8f8feef4fb8",
        "float16": "fa73e19ca44d1aa90d51a95917549c98712c04e82b5e77e12b48a0783460e3a9",
    },
    ("truncated_normal", 0.0, 1.0, -1.0, 3.0): {
        "float8_e4m3fn": "fbec4765c92ba0d7dd3d99d0c5f816f41dca9a78ee0470bf8c785aef588bc94d",
    },
    ("truncated_normal", 0.0, 0.02, -3.0, 3.0): {
        "float32": "7733c5d571a1b307a4c12aa70f3394cddc536329585d9b7d76b47fe481cf9423",
        "bfloat16": "7a6bb65f94dedeb10998113ded74a617d90dbe9d4da59f376b52ddbc6cbeeff7",
    },
    ("truncated_normal", 0.0, 1.0, 1.0, 3.0): {
        "float64": "911932e153905b5083ac136128321ea8642b5b6b2b8aa59de8a2432693b14a0a",
    },
    ("truncated_normal", 0.0, 1.0, -40.0, -37.0): {
        "bfloat16": "311927015e3a47e5e25284c9f69c0129d85e70e44be1618b7be8fca77cd2244d",
    },
    ("truncated_normal", 0.0, 1.0, 8.0, 9.0): {
        "float32": "dbe82b58f8e21188ff9c532083671e7c0570fafc382cf7410c7d17b918050029",
    },
    ("truncated_normal", 0.0, 0.02, -100.0, 100.0): {
        "float8_e5m2": "c217be59b9ed27f78b6dd7d29e01e1dbca1c2337bac7a80fc5518a1117463c61",
    },
}


def differing() -> Iterator[str]:
    """Compare the kernels of every available backend with the known values.

    Yields:
        The backend, distribution and dtype of each difference.
    """
    for backend in backends.available():
        with backends.use(backend):
            for (distribution, *parameters), digests in KNOWN.items():
                for name, digest in digests.items():
                    if _digest(distribution, parameters, name) != digest:
                        values = ", ".join(f"{value:g}" for value in parameters)
                        yield f"{backend}: {distribution}({values}) {name}"


def _digest(distribution: str, parameters: list[float], name: str) -> str:
    source = getattr(distributions, distribution)(*parameters, resolve(name))
    memory = np.zeros(COUNT * source.itemsize, np.uint8)
    _kernels.fill_flat(source, SEED, STREAM, memory.ctypes.data, FIRST, COUNT, 1)
    return hashlib.sha256(memory.tobytes()).hexdigest()
