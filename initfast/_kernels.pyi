from collections.abc import Callable
from typing import Any, TypeVar

_Result = TypeVar("_Result")

BITS: int
BITS_7: int
UNIFORM: int
NORMAL: int
NORMAL_WITHIN: int
TRUNCATED_NORMAL: int
TRUNCATED_WIDE: int
TRUNCATED_FREE: int
CONSTANT: int
DTYPES: tuple[tuple[str, int], ...]
DISTRIBUTIONS: tuple[str, ...]
MAX_DIMS: int
MAX_THREADS: int
TILE_BLOCKS: int
COMPILER: str

class Source:
    def __init__(
        self,
        distribution: int,
        dtype: int,
        itemsize: int,
        scale: float,
        shift: float,
        low: float,
        high: float,
        free: tuple[float, ...],
        pattern: int,
    ) -> None: ...
    @property
    def distribution(self) -> int: ...
    @property
    def dtype(self) -> int: ...
    @property
    def itemsize(self) -> int: ...
    @property
    def numbers(self) -> tuple[tuple[float, ...], tuple[float, ...]]: ...

def backends() -> list[tuple[str, bool]]: ...
def active() -> str: ...
def use(position: int) -> None: ...
def xla_handler() -> Any: ...
def limit_xla_threads(threads: int) -> None: ...
def in_environment(
    function: Callable[..., _Result], *arguments: Any, **options: Any
) -> _Result: ...
def fill_flat(
    source: Source,
    seed: int,
    stream: int,
    address: int,
    start: int,
    count: int,
    threads: int,
    measured: bool = False,
) -> Any: ...
def fill(
    source: Source,
    seed: int,
    stream: int,
    address: int,
    start: int,
    shape: tuple[int, ...],
    steps: tuple[int, ...],
    strides: tuple[int, ...],
    starts: Any,
    threads: int,
    measured: bool = False,
) -> Any: ...
def tiles(source: Source, seed: int, stream: int, first: int, count: int, address: int) -> None: ...
