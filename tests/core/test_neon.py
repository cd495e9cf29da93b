"""The NEON backend, cross-compiled and run under qemu-user, computes the reference's bytes."""

import shutil
from pathlib import Path

import pytest
from cases import IDS, SOME, SOURCES
from driver import build, draw
from tiers import sample

import reference
from initfast._kernels import Source

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
    reason=f"needs {COMPILER} and {EMULATOR} (Debian: gcc-aarch64-linux-gnu, qemu-user-static)",
)


@pytest.fixture(scope="module", params=["-O1", pytest.param("-O2", marks=pytest.mark.long)])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    target: Path = tmp_path_factory.mktemp("neon") / "driver"
    return [EMULATOR, str(build(target, COMPILER, request.param, "-static", only="neon"))]


@pytest.mark.parametrize("source", sample(dict(SOURCES).values(), *SOME, ids=IDS))
def test_neon(command: list[str], source: Source) -> None:
    for start, count in ((0, 4099), (2**34 - 13, 1001), (7, 3)):
        assert (
            draw(command, "neon", source, 42, 3, start, count)
            == reference.values(source, 42, 3, start, count).tobytes()
        )


def test_neon_on_threads(command: list[str]) -> None:
    source = dict(SOURCES)["normal(0,1) float32"]
    count = 2**19 + 3
    assert (
        draw(command, "neon", source, 1, 2, 5, count, 3)
        == reference.values(source, 1, 2, 5, count).tobytes()
    )
