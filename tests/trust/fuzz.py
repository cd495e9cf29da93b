"""Fuzzing: C fill requests by libFuzzer under ASan and UBSan; shapes, indices, row ids, configs and
specs in Python.

The oracle of shapes, indices and ids is NumPy itself, on an array that numbers its elements.
Configs and specs have none: each is made or refused with the errors that are promised, and nothing
else comes out. No corpus is kept: the fuzzer finds its own within the run, and the others are made
from a fixed seed (`cases` below; failures show the case)."""

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
# Most of the time would go into marking the kernels' own arrays, which sanitizers.py has under ASan
# in full. The portable kernels, a hundred times as slow with any check, are plain here.
NO_STACK = ["-mllvm", "-asan-stack=0"]


def fill_requests(cases: int) -> str:
    """libFuzzer on fuzz_fill.c, guided by the coverage of fill.c and threads.c. Returns what it
    says at the end.
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
        status, said = run_program([str(program), *options])
    if status:
        raise AssertionError(said[-4000:])
    done = re.search(r"Done (\d+) runs", said)
    covered = re.findall(r"cov: (\d+).*corp: (\d+)", said)
    assert done and int(done[1]) >= cases, said[-500:]
    branches, corpus = covered[-1]
    return f"{int(done[1]):,} requests, {branches} branches reached by a corpus of {corpus}"


def large_fill_requests(cases: int) -> str:
    """The same program on random strings, some of whose requests are worth several threads."""
    with tempfile.TemporaryDirectory(prefix="initfast-fuzz-") as folder:
        program = fuzzer(Path(folder), [*MEMORY, "-DSTANDALONE"], ["-fsanitize=address,undefined"])
        status, said = run_program([str(program), str(cases), str(SEED)])
    if status or f"{cases} cases" not in said:
        raise AssertionError(said[-4000:])
    return f"{cases:,} requests"


def fuzzer(folder: Path, flags: list[str], link_flags: list[str]) -> Path:
    """fuzz_fill.c and what is to be looked at, compiled with `flags`."""
    watched = [path for path in kernels() if path.stem in ("fill", "threads")]
    portable = [path for path in kernels() if path.stem == "backend_portable"]
    others = [path for path in kernels() if path not in (*watched, *portable)]
    objects = compile_all(folder, ["-O2"], portable) + compile_all(
        folder, [*MEMORY, *NO_STACK], others
    )
    objects += compile_all(folder, flags, [*watched, HERE / "fuzz_fill.c"])
    return link(folder / "fuzz", objects, link_flags)


class Numbered:
    """Small arrays that hold their own element numbers, by shape."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], np.ndarray[Any, Any]] = {}

    def __getitem__(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        if shape not in self._made:
            self._made[shape] = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        return self._made[shape]


def elements(part: indexing.Part) -> np.ndarray[Any, Any]:
    """The element numbers that a part says it holds."""
    if part.starts is None:
        found = np.full(part.shape, part.start, np.int64)
    else:
        lead = next(
            d
            for d in range(1, len(part.shape) + 1)
            if math.prod(part.shape[:d]) == len(part.starts)
        )
        first = part.starts.astype(np.int64).reshape(
            part.shape[:lead] + (1,) * (len(part.shape) - lead)
        )
        found = np.broadcast_to(first, part.shape).copy()
    for axis, step in enumerate(part.steps):
        if part.shape[axis] < 2:
            continue  # such a step is never taken, and may be larger than any integer of C
        along = np.arange(part.shape[axis], dtype=np.int64).reshape(
            (-1,) + (1,) * (len(part.shape) - axis - 1)
        )
        found += along * step
    return found


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
    """`indexing.select` gives the elements that NumPy gives, or an error where NumPy has one or
    makes a copy.
    """
    shape = r.choice(SHAPES)
    items = tuple(an_item(r, r.random() < 0.2) for _ in range(r.randrange(len(shape) + 2)))
    index = items if len(items) != 1 or r.random() < 0.5 else items[0]
    array = arrays[shape]
    try:
        part = indexing.select(shape, index)
    except (IndexError, TypeError, ValueError):
        try:
            wanted = array[index]
        except (IndexError, TypeError, ValueError, OverflowError):
            return
        # What NumPy takes and we do not: arrays, lists, booleans, which are no basic index; and a
        # step of 0 is refused.
        flat = index if isinstance(index, tuple) else (index,)
        basic = all(
            item is None
            or item is Ellipsis
            or isinstance(item, slice)
            or type(item) in (int, np.int64, np.uint8, np.int8, np.uint64)
            for item in flat
        )
        assert not basic or wanted.ndim > 8, ("refused", shape, index)
        return
    wanted = array[index]
    assert part.shape == np.shape(wanted), ("shape", shape, index, part)
    assert np.array_equal(elements(part), wanted), ("elements", shape, index, part)


def one_row_set(r: random.Random, arrays: Numbered) -> None:
    """`indexing.take` gives the rows that NumPy gives, or an error where an id is out of range or
    no integer.
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
    given: Any = ids.tolist() if kind == "int64" and r.random() < 0.3 else ids
    try:
        part = indexing.take(shape, given)
    except (IndexError, TypeError):
        bad_kind = kind in ("float64", "bool", "object", "U1")
        outside = (
            ids.size > 0
            and not bad_kind
            and bool((ids < 0).any() or (shape and ids.max() >= shape[0]))
        )
        assert not shape or bad_kind or outside, ("refused", shape, given)
        return
    assert np.array_equal(elements(part), arrays[shape][np.asarray(given, np.int64)]), (
        shape,
        given,
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
    """`normalize_shape` gives a tuple of Python integers whose product is at most 2^63, or
    ValueError.
    """
    sizes = [
        r.choice(SIZES[:6]) if r.random() < 0.8 else r.choice(SIZES) for _ in range(r.randrange(10))
    ]
    given: Any = r.choice(
        (tuple, list, np.array if all(isinstance(n, int) and n < 2**63 for n in sizes) else tuple)
    )(sizes)
    if len(sizes) == 1 and r.random() < 0.5:
        given = sizes[0]
    try:
        shape = indexing.normalize_shape(given)
    except ValueError:
        good = all(type(n) is int and n >= 0 for n in sizes) and len(sizes) <= 8
        assert not good or math.prod(n for n in sizes if n) > 2**63, ("refused", given)
        return
    assert (
        type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape) and len(shape) <= 8
    ), given
    assert math.prod(n for n in shape if n) <= 2**63, given
    assert list(shape) == [int(n) for n in np.atleast_1d(np.array(given, object)).tolist()], (
        given,
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
    if depth < 3 and r.random() < 0.15:
        return {r.choice(KEYS): a_value(r, depth + 1) for _ in range(r.randrange(4))}
    if depth < 3 and r.random() < 0.1:
        return [a_value(r, depth + 1) for _ in range(r.randrange(4))]
    return copy.deepcopy(r.choice(VALUES))


def a_config(r: random.Random) -> Any:
    if r.random() < 0.03:
        return a_value(r)
    made: dict[str, Any] = {"class_name": r.choice(NAMES)}
    arguments: dict[str, Any] = {}
    known = registry.ALL_OBJECTS.get(made["class_name"])
    if (
        known is not None and r.random() < 0.8
    ):  # a real config, one or two of whose values are changed
        arguments = dict(DEFAULTS[known])
    for _ in range(r.randrange(3)):
        arguments[r.choice([*arguments, r.choice(KEYS)])] = a_value(r)
    made["config"] = arguments if r.random() < 0.95 else a_value(r)
    if r.random() < 0.3:
        made["module"] = r.choice(("initfast", "keras.initializers", "keras", "os", None, 3))
    if r.random() < 0.2:
        made["registered_name"] = r.choice((None, "HeNormal", "mine>HeNormal", 3))
    return made


def _defaults() -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for kind in set(registry.ALL_OBJECTS.values()):
        try:
            found[kind] = kind().get_config()
        except (TypeError, NotImplementedError):
            found[kind] = {}
    return found


DEFAULTS = _defaults()


def one_config(r: random.Random) -> None:
    """A config is made, and then is made again from what it says of itself and can draw or refuse;
    or it is refused.
    """
    config = a_config(r)
    try:
        made = registry.get(config)
    except REFUSALS:
        return
    if not isinstance(made, Initializer) or type(made) is Initializer:
        return
    again = registry.get(json.loads(json.dumps(registry.serialize(made)))) if _plain(made) else made
    shape = r.choice(((3, 4), (2, 1, 4), (5,), (), (0, 3)))
    try:
        first = made.block(shape, ..., "float32")
    except (*REFUSALS, NotImplementedError, IndexError):
        return
    if made.get_config().get("seed", 0) is not None:
        assert np.array_equal(first, again.block(shape, ..., "float32"), equal_nan=True), config


def _plain(made: Initializer) -> bool:
    """Whether its config is JSON (a Constant of a NumPy array is not) that holds no infinity."""
    try:
        json.dumps(registry.serialize(made), allow_nan=False)
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
    """A spec is read or refused with a ValueError, whatever stands at whatever place in it."""
    spec: Any = copy.deepcopy(SPEC)
    for _ in range(1 + r.randrange(2)):
        place, path = spec, []
        while isinstance(place, (dict, list)) and place and r.random() < 0.8:
            key = r.choice(list(place) if isinstance(place, dict) else range(len(place)))
            path.append((place, key))
            place = place[key]
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
        found = specs.read(spec)
    except ValueError:
        return
    assert found.entries and len(found.digest) == 32, spec


def cases(one: Callable[..., None], count: int, *arguments: Any) -> str:
    """Run `count` cases of a fixed seed. A case that fails is shown by its number."""
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
    """A row each; what is found ends the run with the case."""
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
