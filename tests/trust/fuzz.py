"""Fuzz C fill requests with libFuzzer under ASan and UBSan, and shapes, indices, row ids, configs and
specs in Python.

Shapes, indices and ids are compared with NumPy, on an array of element numbers. A config or spec
must be accepted, or refused with one of the documented errors. No corpus is stored: libFuzzer
builds one during the run, and the other cases come from a fixed seed (see `cases`; a failure shows
its case)."""

from __future__ import annotations

import copy
import json
import math
import random
import re
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rows import HERE, Row
from sanitizers import FOUND, MEMORY, compile_all, kernels, link, run_program

from initfast.core import indexing
from initfast.files import specs
from initfast.initializers import registry
from initfast.initializers.base import Initializer

SEED = 20261122
FUZZED = ["-fsanitize-coverage=inline-8bit-counters,pc-table"]
# Checks of the kernels' arrays on the stack would take most of the time; sanitizers.py has them. The
# portable kernels have no checks here, because any check makes them a hundred times slower.
NO_STACK = ["-mllvm", "-asan-stack=0"]


def fill_requests(cases: int) -> str:
    """Run libFuzzer on fuzz_fill.c, guided by the coverage of fill.c and threads.c; return its
    summary.
    """
    with tempfile.TemporaryDirectory(prefix="initfast-fuzz-") as folder:
        program = fuzzer(Path(folder), [*MEMORY, *FUZZED], ["-fsanitize=fuzzer,address,undefined"])
        options = [
            f"-runs={cases}",
            f"-seed={SEED % 2**31}",
            "-max_len=256",
            "-len_control=0",
            "-verbosity=1",
        ]
        options += [f"-artifact_prefix={folder}/", f"-error_exitcode={FOUND}"]
        status, output = run_program([str(program), *options])
    if status:
        raise AssertionError(output[-4000:])
    runs = re.search(r"Done (\d+) runs", output)
    covered = re.findall(r"cov: (\d+).*corp: (\d+)", output)
    assert runs and int(runs[1]) >= cases, output[-500:]
    branches, corpus = covered[-1]
    return f"{int(runs[1]):,} requests, {branches} branches reached by a corpus of {corpus}"


def large_fill_requests(cases: int) -> str:
    """Run fuzz_fill.c on random strings, with some requests large enough for several threads."""
    with tempfile.TemporaryDirectory(prefix="initfast-fuzz-") as folder:
        program = fuzzer(Path(folder), [*MEMORY, "-DSTANDALONE"], ["-fsanitize=address,undefined"])
        status, output = run_program([str(program), str(cases), str(SEED)])
    if status or f"{cases} cases" not in output:
        raise AssertionError(output[-4000:])
    return f"{cases:,} requests"


def fuzzer(folder: Path, flags: list[str], link_flags: list[str]) -> Path:
    """Compile fuzz_fill.c, fill.c and threads.c with `flags`, and link them with the kernels."""
    watched = [path for path in kernels() if path.stem in ("fill", "threads")]
    portable = [path for path in kernels() if path.stem == "backend_portable"]
    others = [path for path in kernels() if path not in (*watched, *portable)]
    objects = compile_all(folder, ["-O2"], portable) + compile_all(
        folder, [*MEMORY, *NO_STACK], others
    )
    objects += compile_all(folder, flags, [*watched, HERE / "fuzz_fill.c"])
    return link(folder / "fuzz", objects, link_flags)


class Numbered:
    """Small arrays of element numbers, by shape."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, ...], np.ndarray[Any, Any]] = {}

    def __getitem__(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        if shape not in self._arrays:
            self._arrays[shape] = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        return self._arrays[shape]


def elements(part: indexing.Part) -> np.ndarray[Any, Any]:
    """Return the element numbers of a part."""
    if part.starts is None:
        numbers = np.full(part.shape, part.start, np.int64)
    else:
        lead = next(
            d
            for d in range(1, len(part.shape) + 1)
            if math.prod(part.shape[:d]) == len(part.starts)
        )
        first = part.starts.astype(np.int64).reshape(
            part.shape[:lead] + (1,) * (len(part.shape) - lead)
        )
        numbers = np.broadcast_to(first, part.shape).copy()
    for axis, step in enumerate(part.steps):
        if part.shape[axis] < 2:
            continue  # such a step is unused, and may be larger than any integer of C
        along = np.arange(part.shape[axis], dtype=np.int64).reshape(
            (-1,) + (1,) * (len(part.shape) - axis - 1)
        )
        numbers += along * step
    return numbers


BOUNDS = (
    None,
    None,
    0,
    1,
    2,
    3,
    5,
    9,
    -1,
    -2,
    -3,
    -5,
    -9,
    2**31,
    -(2**31),
    2**63,
    -(2**63) - 1,
    2**70,
)
STEPS = (None, None, None, 1, 2, 3, 7, -1, -1, -2, -3, 2**40, -(2**40), 2**64)
ODD = (
    1.0,
    True,
    "0",
    [0],
    np.array([0, 1]),
    np.array(0),
    np.int8(1),
    np.uint64(0),
    np.float32(0),
    np.bool_(True),
    (0,),
    b"",
)
SHAPES = (
    (),
    (1,),
    (5,),
    (0,),
    (3, 4),
    (2, 0, 3),
    (2, 3, 4),
    (1, 7, 1, 2),
    (2, 1, 2, 1, 3),
    (2, 2, 2, 2, 2, 2, 2, 2),
)


def an_item(r: random.Random, odd: bool) -> Any:
    """Return a random item of an index."""
    kind = r.randrange(12)
    if kind < 5:
        return slice(r.choice(BOUNDS), r.choice(BOUNDS), r.choice(STEPS))
    if kind < 9:
        return r.choice((0, 1, 2, 3, -1, -2, 4, -5, np.int64(1), np.uint8(2)))
    if kind < 10:
        return Ellipsis
    if kind < 11:
        return None
    return r.choice(ODD) if odd else 2**65


def one_index(r: random.Random, arrays: Numbered) -> None:
    """Check that `indexing.select` gives NumPy's elements, or an error if NumPy raises or copies."""
    shape = r.choice(SHAPES)
    items = tuple(an_item(r, r.random() < 0.2) for _ in range(r.randrange(len(shape) + 2)))
    index = items if len(items) != 1 or r.random() < 0.5 else items[0]
    array = arrays[shape]
    try:
        part = indexing.select(shape, index)
    except (IndexError, TypeError, ValueError):
        try:
            expected = array[index]
        except (IndexError, TypeError, ValueError, OverflowError):
            return
        # NumPy also accepts arrays, lists and booleans, which are not basic indices. A step of 0 is
        # refused.
        flat = index if isinstance(index, tuple) else (index,)
        basic = all(
            item is None
            or item is Ellipsis
            or isinstance(item, slice)
            or type(item) in (int, np.int64, np.uint8, np.int8, np.uint64)
            for item in flat
        )
        assert not basic or expected.ndim > 8, ("refused", shape, index)
        return
    expected = array[index]
    assert part.shape == np.shape(expected), ("shape", shape, index, part)
    assert np.array_equal(elements(part), expected), ("elements", shape, index, part)


def one_row_set(r: random.Random, arrays: Numbered) -> None:
    """Check that `indexing.take` gives NumPy's rows, or an error for an id that is out of range or
    not an integer.
    """
    shape = r.choice(SHAPES)
    lead = tuple(r.choice((1, 2, 3, 0, 5)) for _ in range(r.randrange(4)))
    kind = r.choice(
        ("int64", "uint8", "int32", "uint64", "int8", "float64", "bool", "object", "U1")
    )
    low = -1 if kind.startswith("int") and r.random() < 0.1 else 0
    top = (shape[0] if shape else 3) + (r.random() < 0.1)
    ids = np.array(
        [r.randrange(low, max(top, low + 1)) for _ in range(math.prod(lead))], kind
    ).reshape(lead)
    argument: Any = ids.tolist() if kind == "int64" and r.random() < 0.3 else ids
    try:
        part = indexing.take(shape, argument)
    except (IndexError, TypeError):
        bad_kind = kind in ("float64", "bool", "object", "U1")
        outside = (
            ids.size > 0
            and not bad_kind
            and bool((ids < 0).any() or (shape and ids.max() >= shape[0]))
        )
        assert not shape or bad_kind or outside, ("refused", shape, argument)
        return
    assert np.array_equal(elements(part), arrays[shape][np.asarray(argument, np.int64)]), (
        shape,
        argument,
        part,
    )


SIZES = (
    0,
    1,
    2,
    3,
    7,
    2**31,
    2**40,
    2**62,
    2**63,
    2**64,
    -1,
    None,
    1.5,
    True,
    "3",
    np.int32(4),
    np.uint64(2**63),
    np.array(3),
    [2],
)


def one_shape(r: random.Random) -> None:
    """Check that `normalize_shape` returns a tuple of Python integers with a product of at most
    2^63, or raises ValueError.
    """
    sizes = [
        r.choice(SIZES[:6]) if r.random() < 0.8 else r.choice(SIZES) for _ in range(r.randrange(10))
    ]
    argument: Any = r.choice(
        (tuple, list, np.array if all(isinstance(n, int) and n < 2**63 for n in sizes) else tuple)
    )(sizes)
    if len(sizes) == 1 and r.random() < 0.5:
        argument = sizes[0]
    try:
        shape = indexing.normalize_shape(argument)
    except ValueError:
        good = all(type(n) is int and n >= 0 for n in sizes) and len(sizes) <= 8
        assert not good or math.prod(n for n in sizes if n) > 2**63, ("refused", argument)
        return
    assert (
        type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape) and len(shape) <= 8
    ), argument
    assert math.prod(n for n in shape if n) <= 2**63, argument
    assert list(shape) == [int(n) for n in np.atleast_1d(np.array(argument, object)).tolist()], (
        argument,
        shape,
    )


NAMES = [*registry.ALL_OBJECTS, "HeNormall", "", "he normal", "keras>HeNormal", "__class__", "Seed"]
WORDS = (
    "seed",
    "stddev",
    "mean",
    "scale",
    "mode",
    "distribution",
    "minval",
    "maxval",
    "gain",
    "value",
    "lower",
    "upper",
)
KEYS = (
    *WORDS,
    "input_axes",
    "output_axes",
    "side",
    "window",
    "scaling",
    "periodic",
    "name",
    "class_name",
    "config",
    "x",
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        -0.0,
        1e300,
        1e-320,
        math.inf,
        -math.inf,
        math.nan,
        2**63,
        2**64,
        2**200,
    ),
    *(
        "fan_in",
        "fan_avg",
        "truncated_normal",
        "uniform",
        "real",
        "hann",
        "",
        "\ud800",
        "x" * 5000,
        b"x",
        [],
        [1],
        [[1, 2], [3]],
    ),
    *(
        {},
        {"a": 1},
        [0, -1],
        np.float32(1),
        np.array([1.0, 2.0]),
        1j,
        {"class_name": "Seed", "config": {"seed": 1}},
        (1,),
        {1},
    ),
)
REFUSALS = (ValueError, TypeError, OverflowError)


def a_value(r: random.Random, depth: int = 0) -> Any:
    """Return a random value for a config."""
    if depth < 3 and r.random() < 0.15:
        return {r.choice(KEYS): a_value(r, depth + 1) for _ in range(r.randrange(4))}
    if depth < 3 and r.random() < 0.1:
        return [a_value(r, depth + 1) for _ in range(r.randrange(4))]
    return copy.deepcopy(r.choice(VALUES))


def a_config(r: random.Random) -> Any:
    """Return a random config of an initializer, perhaps damaged."""
    if r.random() < 0.03:
        return a_value(r)
    config: dict[str, Any] = {"class_name": r.choice(NAMES)}
    arguments: dict[str, Any] = {}
    kind = registry.ALL_OBJECTS.get(config["class_name"])
    if kind is not None and r.random() < 0.8:
        # A real config with one or two changed values.
        arguments = dict(DEFAULTS[kind])
    for _ in range(r.randrange(3)):
        arguments[r.choice([*arguments, r.choice(KEYS)])] = a_value(r)
    config["config"] = arguments if r.random() < 0.95 else a_value(r)
    if r.random() < 0.3:
        config["module"] = r.choice(("initfast", "keras.initializers", "keras", "os", None, 3))
    if r.random() < 0.2:
        config["registered_name"] = r.choice((None, "HeNormal", "mine>HeNormal", 3))
    return config


def _defaults() -> dict[Any, dict[str, Any]]:
    configs: dict[Any, dict[str, Any]] = {}
    for kind in set(registry.ALL_OBJECTS.values()):
        try:
            configs[kind] = kind().get_config()
        except (TypeError, NotImplementedError):
            configs[kind] = {}
    return configs


DEFAULTS = _defaults()


def one_config(r: random.Random) -> None:
    """Check that a config is refused, or gives an initializer equal to the one of its own config."""
    config = a_config(r)
    try:
        initializer = registry.get(config)
    except REFUSALS:
        return
    if not isinstance(initializer, Initializer) or type(initializer) is Initializer:
        return
    again = (
        registry.get(json.loads(json.dumps(registry.serialize(initializer))))
        if _is_json(initializer)
        else initializer
    )
    shape = r.choice(((3, 4), (2, 1, 4), (5,), (), (0, 3)))
    try:
        first = initializer.block(shape, ..., "float32")
    except (*REFUSALS, NotImplementedError, IndexError):
        return
    if initializer.get_config().get("seed", 0) is not None:
        assert np.array_equal(first, again.block(shape, ..., "float32"), equal_nan=True), config


def _is_json(initializer: Initializer) -> bool:
    """Return whether a config is JSON without infinities; a Constant of an array is not JSON."""
    try:
        json.dumps(registry.serialize(initializer), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


SPEC = {
    "tensors": {
        "a": {
            "shape": [3, 4],
            "dtype": "float32",
            "init": {"class_name": "RandomNormal", "config": {"stddev": 0.02}},
        },
        "b": {
            "shape": [4],
            "dtype": "bfloat16",
            "init": "zeros",
            "stream": "a/b",
            "fixed_rows": [[0, 1, 0.0]],
        },
        "c": {
            "shape": [],
            "dtype": "int64",
            "init": {"class_name": "Constant", "config": {"value": 3}},
        },
    }
}


def one_spec(r: random.Random) -> None:
    """Check that a spec with random changes is read, or refused with ValueError."""
    spec: Any = copy.deepcopy(SPEC)
    for _ in range(1 + r.randrange(2)):
        node, path = spec, []
        while isinstance(node, (dict, list)) and node and r.random() < 0.8:
            key = r.choice(list(node) if isinstance(node, dict) else range(len(node)))
            path.append((node, key))
            node = node[key]
        if not path:
            continue
        holder, key = path[-1]
        if isinstance(holder, dict) and r.random() < 0.3:
            holder[
                r.choice(
                    (
                        *KEYS,
                        "shape",
                        "dtype",
                        "init",
                        "stream",
                        "fixed_rows",
                        "tensors",
                        3,
                        "\ud800",
                    )
                )
            ] = holder.pop(key)
        elif r.random() < 0.15:
            del holder[key]
        else:
            odd = (
                a_config(r),
                [1, 2**40],
                [2**62, 4],
                "float32",
                "float8_e5m2",
                [[0, 9, 1.0]],
                [[0, 1, math.nan]],
                "he_normal",
            )
            holder[key] = r.choice(odd) if r.random() < 0.5 else a_value(r)
    try:
        model = specs.read(spec)
    except ValueError:
        return
    assert model.entries and model.elements >= 0, spec


def cases(one: Callable[..., None], count: int, *arguments: Any) -> str:
    """Run `count` cases from a fixed seed; a failure shows the number of the case."""
    r, start = random.Random(f"{SEED} {one.__name__}"), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(count):
            state = r.getstate()
            try:
                one(r, *arguments)
            except Exception as error:
                r.setstate(state)
                raise AssertionError(f"{one.__name__}, case {number}: {error!r}") from error
    print(f"  {one.__name__}: {count:,} cases in {time.perf_counter() - start:.0f} s", flush=True)
    return f"{count:,} cases"


def run(quick: bool) -> list[Row]:
    """Return a row per target; the first failure ends a target and is shown in its row."""
    few = 200 if quick else 1
    arrays = Numbered()
    goal = "nothing found"
    rows = []
    for what, work in (
        ("C fill requests, libFuzzer under ASan + UBSan", lambda: fill_requests(1_000_000 // few)),
        (
            "larger fill requests, on several threads, ASan + UBSan",
            lambda: large_fill_requests(200_000 // few),
        ),
        ("indices against NumPy's", lambda: cases(one_index, 1_000_000 // few, arrays)),
        ("row ids against NumPy's", lambda: cases(one_row_set, 300_000 // few, arrays)),
        ("shapes", lambda: cases(one_shape, 300_000 // few)),
        (
            "configs of initializers: made again alike, or refused",
            lambda: cases(one_config, 100_000 // few),
        ),
        (
            "specs of models: read, or refused with ValueError",
            lambda: cases(one_spec, 50_000 // few),
        ),
    ):
        try:
            rows.append(Row(what, goal, f"{work()}, nothing found", True))
        except (AssertionError, subprocess.CalledProcessError) as error:
            rows.append(Row(what, goal, str(error)[:300], False))
            print(f"  {what}: {error}", flush=True)
    return rows
