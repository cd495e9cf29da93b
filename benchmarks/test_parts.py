"""Parts of a logical array, beside a whole one of as many elements: float32 normals on one thread.

Each group is one ratio: how much of the element rate of a contiguous fill, its first row, the part reaches.
`python benchmarks/test_parts.py` prints the ratios, from interleaved rounds.
"""

import argparse
import sys

import numpy as np
import pytest

import initfast as ift

SEED = 42
COLUMNS = np.s_[:, 1024:1536]  # the third of eight shards
TABLE = (10**9, 128)


def normal(seed=SEED):
    return ift.RandomNormal(0.0, 1.0, seed=seed)


def columns(size):
    """512 of 4096 columns into memory of their own, which is there already: what one rank of eight fills."""
    whole, part = (ift.Ones()((size // 512, 512)) for _ in range(2))
    init, shape = normal(), (size // 512, 4096)
    return {"contiguous": lambda: init.fill(whole), "part": lambda: init.fill(part, shape=shape, index=COLUMNS)}


def columns_in_place(size):
    """The same columns where they belong in the whole array, with gaps between their rows."""
    whole, everything = ift.Ones()((size // 512, 512)), ift.Ones()((size // 512, 4096))
    init = normal()
    return {
        "contiguous": lambda: init.fill(whole),
        "part": lambda: init.fill(everything[COLUMNS], shape=everything.shape, index=COLUMNS),
    }


def rows(size):
    """Rows by random id, 100,000 of them when timed, as a new array; and so is the whole array beside them."""
    ids = np.random.default_rng(SEED).integers(0, TABLE[0], max(1, 100_000 * size // 2**24))
    init, streams = normal(), normal(ift.SeedGenerator(SEED))  # a second whole array of one stream would warn
    return {"contiguous": lambda: streams((len(ids), TABLE[1])), "part": lambda: init.rows(TABLE, ids)}


TASKS = {"columns": columns, "columns-in-place": columns_in_place, "rows": rows}


def check(task, found):
    """Whether the part is what it should be, at both ends; a wrong one has no speed."""
    init = normal()
    if task == "rows":
        ids = np.random.default_rng(SEED).integers(0, TABLE[0], len(found))
        wanted = [init.block(TABLE, int(row)) for row in ids[[0, -1]]]
    else:
        wanted = [init.block((len(found), 4096), row)[COLUMNS[1]] for row in (0, -1)]
    np.testing.assert_array_equal(found[[0, -1]], wanted)


def cases():
    for task in TASKS:
        group = f"{task}-float32-1-threads"
        for how in ("contiguous", "part"):
            yield pytest.param(task, how, marks=pytest.mark.benchmark(group=group), id=f"{group}-{how}")


@pytest.mark.parametrize(("task", "how"), list(cases()))
def test_parts(benchmark, size, task, how):
    with ift.threads(1):
        run = TASKS[task](size)[how]
        found = run()
        if how == "part":
            check(task, found)
        benchmark(run)
    benchmark.extra_info.update(elements=found.size, bytes=found.nbytes, backend=ift.backends.active())
    if benchmark.stats is not None:  # None where the benchmarks run as tests
        benchmark.extra_info["ns/element"] = benchmark.stats.stats.median / found.size * 1e9


def main():
    from ratios import interleaved, machine, ratio

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log2-size", type=int, default=24, help="elements, as a power of 2 (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count (default: %(default)s)")
    arguments = parser.parse_args()
    with ift.threads(1):
        for task, make in TASKS.items():
            fills = make(2**arguments.log2_size)
            found = fills["part"]()
            check(task, found)
            scale = found.size / fills["contiguous"]().size
            seconds = interleaved(fills, arguments.rounds)
            print(f"{task}: {1 / ratio(seconds, 'part', 'contiguous') * scale:.2f}x the contiguous element rate")
    print(machine())


if __name__ == "__main__":
    sys.exit(main())
