"""Parts of a logical array, small calls and imports: a group per situation, a row per library."""

import subprocess

import contenders
import pytest
import rivals
from parameters import case, timed

import initfast as ift
from initfast.cli._race import as_numpy

PARTS = {(part.situation, part.library): part for part in contenders.PARTS}
SMALL = {small.library: small for small in contenders.SMALL}
IMPORTS = ("python", *contenders.IMPORTS)
QUICK_IMPORTS = ("python", "numpy", "initfast")


@pytest.mark.parametrize(
    ("situation", "library"),
    [
        case(*names, group=f"{names[0]}-normal-float32-1-thread", ours=part.module == "initfast")
        for names, part in PARTS.items()
        if rivals.installed(part.module)
    ],
)
def test_part(benchmark, record, sizes, situation, library):
    part, size = PARTS[situation, library], sizes["part"] // 4
    with ift.threads(1):
        run = part.prepare(size)
        result = run()
        contenders.check_part(part, result, size)
        benchmark(run)
    elements = as_numpy(result).size
    record(elements, 4 * elements, threads=1)


@pytest.mark.parametrize(
    ("shape", "library"),
    [
        case(
            f"{side}x{side}",
            name,
            group=f"he_normal-{side}x{side}",
            ours=small.module == "initfast",
        )
        for side in (4, 22, 64)
        for name, small in SMALL.items()
        if rivals.installed(small.module)
    ],
)
def test_small_call(benchmark, record, shape, library):
    side = int(shape.partition("x")[0])
    call = SMALL[library].prepare(side)
    assert as_numpy(call()).size == side * side
    benchmark(call)
    record(side * side, 4 * side * side)


@pytest.mark.parametrize(
    "library",
    [
        case(name, group="import", ours=name in QUICK_IMPORTS)
        for name in IMPORTS
        if name == "python" or rivals.installed(name)
    ],
)
def test_import(benchmark, request, library):
    if not (timed(request.config) or library in QUICK_IMPORTS):
        pytest.skip("only timed: takes seconds and tests no code of initfast")
    command = contenders.import_command(library)
    benchmark.pedantic(
        lambda: subprocess.run(command, check=True, capture_output=True), rounds=5, warmup_rounds=1
    )
