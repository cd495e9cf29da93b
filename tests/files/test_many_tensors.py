"""A model of many small tensors: each costs the same however many there are, in calls and in memory.

Calls of Python and C are counted, not seconds: the counts are the same on each run."""

import itertools
import json
import sys
from pathlib import Path

import pytest

from initfast import checkpoint
from initfast.cli import main
from initfast.files import formats, specs

INITS = ["zeros", "he_normal", {"class_name": "RandomNormal", "config": {"stddev": 0.02}}]
SHARD = 40_000  # bytes


def entry(number, init=None):
    shape = [number % 16 + 1] if number % 3 == 0 else [number % 4 + 1, 4]
    return {"shape": shape, "dtype": "float32", "init": init or INITS[number % 3]}


class Model:
    """A model of `count` tensors: its spec, and what is written of it."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.spec = folder / "spec.json"
        self.spec.write_text(json.dumps({"tensors": {f"h.{n}.w": entry(n) for n in range(count)}}))
        self.job = checkpoint.plan(self.spec, folder / "m.safetensors", 7)
        self.shards = checkpoint.plan(self.spec, folder / "m", 7, SHARD)
        # Every name comes twice.
        some = json.dumps(entry(0))
        pairs = ", ".join(f'"h.{n // 2}": {some}' for n in range(count))
        self.twice = folder / "twice.json"
        self.twice.write_text(f'{{"tensors": {{{pairs}}}}}')
        # An initializer of its own for each.
        self.own = {"tensors": {f"h.{n}": entry(n, init=constant(n)) for n in range(count)}}


def constant(number):
    return {"class_name": "Constant", "config": {"value": number}}


def verify(model, out, *more):
    return main(["verify", str(model.folder / out), "--spec", str(model.spec), *more])


def refuse(function, *arguments):
    with pytest.raises((ValueError, OSError)):
        function(*arguments)


PHASES = {
    "read": lambda model: specs.read(model.spec),
    "read other initializers": lambda model: specs.read(model.own),
    "plan": lambda model: checkpoint.plan(model.spec, model.folder / "m.safetensors", 7),
    "plan shards": lambda model: checkpoint.plan(model.spec, model.folder / "m", 7, SHARD),
    "index": lambda model: model.shards.index,
    "write": lambda model: checkpoint.write(model.job),
    "resume": lambda model: checkpoint.write(model.job, resume=True),
    "verify": lambda model: verify(model, "m.safetensors"),
    "verify another seed": lambda model: verify(model, "m.safetensors", "--seed", "8"),
    "read a file": lambda model: formats.read(model.folder / "m.safetensors"),
    "refuse a file": lambda model: refuse(checkpoint.write, model.job),
    "refuse duplicates": lambda model: refuse(specs.read, model.twice),
    "write shards": lambda model: checkpoint.write(model.shards),
    "verify shards": lambda model: verify(model, "m"),
    "a worker of many": lambda model: checkpoint.write(
        model.shards, shard=(10_000_000, 10_000_000), resume=True
    ),
}


def calls(function, *arguments):
    """How many calls of Python and C functions it takes."""
    counter = itertools.count()
    sys.setprofile(lambda *_: next(counter))
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return next(counter)


@pytest.fixture
def models(tmp_path):
    return [Model(tmp_path / str(count), count) for count in (400, 1600)]


def test_calls_grow_with_the_tensors_and_no_faster(models, capsys):
    for name, phase in PHASES.items():
        for model in models:  # what is loaded or cached once does not count
            if "write" not in name:
                phase(model)
        few, many = (calls(phase, model) for model in models)
        assert many < 4.4 * few + 1000, name
    assert "16" in capsys.readouterr().out  # something was verified
