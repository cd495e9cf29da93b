"""Parts of a logical array, small calls and imports: a group per situation, a row per library."""

import subprocess

import contenders
import pytest
import rivals

import initfast as ift
from initfast.cli._race import as_numpy


def parts():
    for part in contenders.PARTS:
        if rivals.installed(part.module):
            group = part.situation.replace(" ", "-")
            name = f"{group}-{part.library.replace(' ', '-')}"
            yield pytest.param(
                part, marks=pytest.mark.benchmark(group=f"{group}-normal-float32-1-thread"), id=name
            )


@pytest.mark.parametrize("part", list(parts()))
def test_parts(benchmark, record, size, part):
    with ift.threads(1):
        run = part.prepare(size)
        result = run()
        contenders.check_part(part, result, size)
        benchmark(run)
    elements = as_numpy(result).size
    record(elements, 4 * elements, backend=ift.backends.active())


def calls():
    for side in (4, 22, 64):
        for small in contenders.SMALL:
            if rivals.installed(small.module):
                mark = pytest.mark.benchmark(group=f"he_normal-{side}x{side}")
                yield pytest.param(
                    small, side, marks=mark, id=f"{side}x{side}-{small.library.replace(' ', '-')}"
                )


@pytest.mark.parametrize(("small", "side"), list(calls()))
def test_small_call(benchmark, record, small, side):
    call = small.prepare(side)
    assert as_numpy(call()).size == side * side
    benchmark(call)
    record(side * side, 4 * side * side)


@pytest.mark.benchmark(group="import")
@pytest.mark.parametrize("module", ["python", *filter(rivals.installed, contenders.IMPORTS)])
def test_import(benchmark, request, module):
    if request.config.getoption("--benchmark-disable") and module not in (
        "python",
        "numpy",
        "initfast",
    ):
        pytest.skip("takes seconds and tests nothing of ours: only if timed")
    command = contenders.import_command(module)
    benchmark.pedantic(
        lambda: subprocess.run(command, check=True, capture_output=True), rounds=5, warmup_rounds=1
    )
