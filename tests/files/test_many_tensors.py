"""In a model of many small tensors, the cost per tensor is constant in calls, system calls and memory.

Calls are counted instead of seconds, so that a busy machine does not matter."""

import itertools
import json
import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import initfast as ift
from initfast import checkpoint
from initfast.cli import main
from initfast.files import chunks, formats, specs

INITS = ["zeros", "he_normal", {"class_name": "RandomNormal", "config": {"stddev": 0.02}}]
SHARD = 40_000  # bytes
OTHER_SEED = ("--seed", "8")


def described(number, init=None):
    shape = [number % 16 + 1] if number % 3 == 0 else [number % 4 + 1, 4]
    return {"shape": shape, "dtype": "float32", "init": init or INITS[number % 3]}


def model(count, init=None):
    return {"tensors": {f"h.{n}.w": described(n, init and init(n)) for n in range(count)}}


def constant(number):
    return {"class_name": "Constant", "config": {"value": number}}


class Case:
    """A model of `count` tensors: its spec and the paths of its files."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir()
        self.spec = folder / "spec.json"
        self.spec.write_text(json.dumps(model(count)))
        self.file, self.folder = folder / "m.safetensors", folder / "m"
        self.twice = folder / "twice.json"  # every name is repeated
        pairs = ", ".join(f'"h.{n // 2}": {json.dumps(described(n))}' for n in range(count))
        self.twice.write_text(f'{{"tensors": {{{pairs}}}}}')
        self.constants = model(count, constant)
        self.objects = model(count, ift.Constant)

    def plan(self, seed=7):
        return checkpoint.plan(self.spec, self.file, seed)

    def plan_shards(self):
        return checkpoint.plan(self.spec, self.folder, 7, SHARD)

    def verify(self, out, *more):
        return main(["verify", str(out), "--spec", str(self.spec), *more])

    def refuse(self, function, **options):
        with pytest.raises((ValueError, OSError)):
            function(**options)


WORKER = (10_000_000, 10_000_000)
STEPS = {
    "read": lambda case: specs.read(case.spec),
    "read constants": lambda case: specs.read(case.constants),
    "read initializers": lambda case: specs.read(case.objects),
    "plan": Case.plan,
    "plan shards": Case.plan_shards,
    "index": lambda case: case.plan_shards().index,
    "write": lambda case: checkpoint.write(case.plan()),
    "resume": lambda case: checkpoint.write(case.plan(), resume=True),
    "refuse to replace": lambda case: case.refuse(lambda: checkpoint.write(case.plan())),
    "refuse another seed": lambda case: case.refuse(
        lambda: checkpoint.write(case.plan(8), resume=True)
    ),
    "verify": lambda case: case.verify(case.file),
    "find another seed": lambda case: case.verify(case.file, *OTHER_SEED),
    "read a file": lambda case: formats.read(case.file),
    "refuse duplicates": lambda case: case.refuse(lambda: specs.read(case.twice)),
    "write shards": lambda case: checkpoint.write(case.plan_shards()),
    "verify shards": lambda case: case.verify(case.folder),
    "be one worker of many": lambda case: checkpoint.write(
        case.plan_shards(), shard=WORKER, resume=True
    ),
}


@pytest.fixture
def cases(tmp_path, capfd):
    # Run all steps once, so that loading and caching do not count.
    first = Case(tmp_path / "first", 40)
    for step in STEPS.values():
        step(first)
    return Case(tmp_path / "few", 200), Case(tmp_path / "many", 800)


def calls(function, *arguments):
    """Return the number of calls of Python and C functions."""
    counter = itertools.count()
    sys.setprofile(lambda *_: next(counter))
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return next(counter)


def test_calls_are_in_proportion(cases):
    for name, step in STEPS.items():
        few, many = (calls(step, case) for case in cases)
        assert many < 4.2 * few, name
        assert many < 600 * 800, name


def memory(function, *arguments):
    """Return the peak of allocated bytes."""
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_in_proportion(cases):
    for name, step in STEPS.items():
        assert memory(step, cases[1]) < 3000 * 800 + 4_000_000, name


@pytest.mark.parametrize("out", ["m.safetensors", "m"])
def test_many_tensors_take_few_system_calls(tmp_path, monkeypatch, out):
    calls = []
    for name in ("pwrite", "preadv", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os,
            name,
            lambda *arguments, real=real, name=name: (calls.append(name), real(*arguments))[1],
        )
    job = checkpoint.plan(model(2000), tmp_path / out, 7, None if "." in out else SHARD)
    checkpoint.write(job)
    assert calls.count("pwrite") < 2000 / chunks.MOST + 4 * len(job.names) + 4


def test_bytes_are_those_of_each_tensor_alone(tmp_path):
    """Also next to tensors of other dtypes, with fixed rows, computed as a whole, or other streams."""
    tensors = {}
    for number in range(300):
        init = ["he_normal", "orthogonal", "ones", "uniform", "truncated_normal"][number % 5]
        shape = [number % 4 + 1, number % 3 + 1]
        dtype = ["float32", "bfloat16", "float64", "float8_e5m2"][number % 4]
        tensors[f"t{number}"] = {"shape": shape, "dtype": dtype, "init": init}
        if number % 7 == 0 and init != "orthogonal":
            tensors[f"t{number}"]["fixed_rows"] = [[0, 1, 0.5]]
        if number % 11 == 0:
            tensors[f"t{number}"]["stream"] = f"other{number}"
    path = tmp_path / "m.safetensors"
    checkpoint.save({"tensors": tensors}, path, seed=3)
    data = path.read_bytes()
    stored = {tensor.name: tensor for tensor in formats.read(path).tensors}
    for entry in specs.read({"tensors": tensors}).entries:
        actual = stored[entry.name]
        whole = np.asarray(
            entry.seeded_initializer(ift.Seed(3)).block(entry.shape, ..., entry.dtype)
        )
        assert data[actual.offset : actual.offset + actual.nbytes] == whole.tobytes(), entry


def test_one_wrong_byte_is_found_and_mended(tmp_path, capfd):
    case = Case(tmp_path / "case", 3000)
    checkpoint.write(case.plan())
    good = case.file.read_bytes()
    (tensor,) = (each for each in formats.read(case.file).tensors if each.name == "h.1234.w")
    bad = bytearray(good)
    bad[tensor.offset + 5] ^= 16
    case.file.write_bytes(bad)
    assert case.verify(case.file) == 1
    assert "tensor 'h.1234.w': element (0, 1) at byte" in capfd.readouterr().err
    case.file.rename(f"{case.file}.partial")
    result = checkpoint.write(case.plan(), resume=True)
    assert 0 < result.written < len(good) // 2
    assert case.file.read_bytes() == good
