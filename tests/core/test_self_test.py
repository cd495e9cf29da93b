"""The package's known values equal the golden vectors, and the self-test finds a wrong value."""

import pytest
from golden import DRAWS, VECTORS

from initfast import backends
from initfast.cli import main
from initfast.core import self_test


def test_the_known_values_are_golden():
    assert DRAWS[1] == (self_test.SEED, self_test.STREAM, self_test.FIRST, self_test.COUNT)
    pinned = {}
    for line in VECTORS.read_text().splitlines():
        if not line.startswith("#"):
            name, seed, *_, digest = line.rsplit(" ", 6)
            if int(seed, 16) == self_test.SEED:
                pinned[name] = digest
    for (distribution, *parameters), digests in self_test.KNOWN.items():
        values = ",".join(f"{value:g}" for value in parameters)
        for dtype, digest in digests.items():
            assert pinned[f"{distribution}({values}) {dtype}"] == digest
    assert {dtype for digests in self_test.KNOWN.values() for dtype in digests} == {
        name.split(" ")[1] for name in pinned
    } - {"uint32"}


def test_this_installation(cli):
    assert list(self_test.differing()) == []
    printed = cli("verify", "--self", check=True).out
    assert "OK: " in printed
    assert all(name in printed for name in backends.available())


def test_a_wrong_value_is_named(monkeypatch, capsys):
    monkeypatch.setitem(self_test.KNOWN[("normal", 0.0, 1.0)], "float32", "0" * 64)
    assert main(["verify", "--self"]) == 1
    printed = capsys.readouterr().err
    assert "portable: normal(0, 1) float32 differs from stream version 1" in printed
    assert "please report this" in printed


@pytest.mark.parametrize("extra", [["x.npy"], ["--init", "zeros"], ["--seed", "1"]])
def test_nothing_goes_with_it(cli, extra):
    result = cli("verify", "--self", *extra)
    assert result.code == 2
    assert "--self cannot be combined with" in result.err


def test_without_a_file(cli):
    assert "FILE or --self is required" in cli("verify", "--init", "zeros").err
