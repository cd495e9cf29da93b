"""The handler that XLA calls refuses wrong calls with a message, and does not crash."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import initfast as ift

jax = pytest.importorskip("jax")

import initfast.jax as ij  # noqa: E402
from initfast.jax import ffi  # noqa: E402

KEY = jax.random.key(42)
NUMBERS = np.array([1.0, *[0.0] * 13])
GOOD = {
    "target": ffi.TARGET,
    "out": ((2, 3), "float32"),
    "keys": np.array([0, 42], np.uint32),
    "start": np.zeros(2, np.uint32),
    "distribution": "normal",
    "numbers": NUMBERS.view(np.int64),
    "shape": np.array([2, 3]),
}


def call(**changes):
    """Call the handler with the arguments of GOOD and some changes; None omits an argument."""
    options = GOOD | changes
    target, out, keys, start = (options.pop(name) for name in ("target", "out", "keys", "start"))
    arguments = [argument for argument in (keys, start) if argument is not None]
    attributes = {name: value for name, value in options.items() if value is not None}
    handler = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(*out))
    return np.asarray(jax.jit(lambda *arrays: handler(*arrays, **attributes))(*arguments))


def test_a_call():
    assert call().tobytes() == ift.RandomNormal(0.0, 1.0, seed=42)((2, 3)).tobytes()


@pytest.mark.parametrize("part", [(3, 5, 7), (3, 5, 1), (2, 1, 4), (1, 1, 1), (1, 4, 7), (3, 2, 0)])
def test_a_part(part):
    """Make a part of an array of 2**40 x 5 x 7 elements."""
    shape, index = (2**40, 5, 7), (2**39 + 1, 1, 2)
    first = (index[0] * 5 + index[1]) * 7 + index[2]
    seed = ift.Seed(2**40 + 7, 2**35 + 1)
    words = [seed.seed >> 32, seed.seed % 2**32, seed.stream >> 32, seed.stream % 2**32]
    actual = call(
        out=(part, "float32"),
        keys=np.array(words, np.uint32),
        start=np.array([first >> 32, first % 2**32], np.uint32),
        shape=np.array(shape),
    )
    index_of_part = tuple(slice(at, at + n) for at, n in zip(index, part, strict=True))
    valid = tuple(
        slice(0, min(n, size - at)) for at, n, size in zip(index, part, shape, strict=True)
    )
    expected = ift.RandomNormal(0.0, 1.0, seed=seed).block(shape, index_of_part)
    assert actual[valid].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": np.zeros(3, np.uint32)}, "keys must be uint32 words, 2 or 4 of each key"),
        ({"keys": np.zeros((), np.uint32)}, "keys must be uint32 words"),
        ({"keys": np.zeros(2, np.int32)}, "keys must be uint32 words"),
        ({"keys": None, "start": None}, "keys must be uint32 words"),
        ({"start": None}, "start must be two uint32"),
        ({"start": np.zeros(1, np.uint32)}, "start must be two uint32"),
        ({"start": np.zeros(2, np.float32)}, "start must be two uint32"),
        ({"out": ((2, 3), "int32")}, "the result must have a floating dtype"),
        ({"distribution": "cauchy"}, "distribution must be one that this version of initfast draws"),
        ({"distribution": "bits"}, "distribution must be one that this version of initfast draws"),
        ({"distribution": "norma"}, "distribution must be one that this version of initfast draws"),
        ({"distribution": None}, "distribution must be a string"),
        ({"distribution": np.int64(2)}, "distribution must be a string"),
        ({"numbers": None}, "numbers must be 14 int64"),
        ({"numbers": np.zeros(4, np.int64)}, "numbers must be 14 int64"),
        ({"numbers": NUMBERS}, "numbers must be 14 int64"),
        ({"shape": None}, "shape must be at most 8 int64"),
        ({"shape": np.ones(3, np.int64)}, "shape must be at most 8 int64, no more than the result has dims"),
        ({"shape": np.ones(9, np.int64), "out": ((1,) * 9, "float32")}, "shape must be at most 8 int64"),
        ({"shape": np.array([2, 3], np.int32)}, "shape must be at most 8 int64"),
        ({"shape": np.array([3])}, "the result must hold one part for each key"),
        ({"keys": np.zeros((3, 2), np.uint32)}, "the result must hold one part for each key"),
    ],
)  # fmt: skip
def test_refusals(changes, message):
    with pytest.raises(Exception, match=f"initfast cannot fill for XLA: {message}"):
        call(**changes)


def test_a_program_of_another_stream_version_finds_no_handler():
    other = f"{ffi.TARGET[:-1]}{int(ffi.TARGET[-1]) + 1}"
    with pytest.raises(Exception, match=f"(?s)handler.*{other}|{other}.*handler"):
        call(target=other)


def test_an_exported_program_of_another_stream_version_is_refused_by_name():
    pytest.importorskip("flatbuffers")  # jax.export needs it
    words = jax.random.key_data(KEY)
    checks = [jax.export.DisabledSafetyCheck.custom_call(ffi.TARGET)]
    draw = jax.jit(lambda key: ij.he_normal()(key, (5, 6)))
    blob = bytes(jax.export.export(draw, disabled_checks=checks)(words).serialize())
    other = f"{ffi.TARGET[:-1]}2"
    damaged = bytearray(blob.replace(ffi.TARGET.encode(), other.encode()))
    with pytest.raises(Exception, match=other):
        jax.export.deserialize(damaged).call(words)


def test_importing_starts_no_backend():
    """A program of several processes calls jax.distributed.initialize after its imports."""
    code = "import initfast.jax, jax; jax.config.update('jax_num_cpu_devices', 3); print(jax.device_count())"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert process.stdout.strip() == "3", process.stderr


def test_a_wrong_backend_is_reported_when_a_program_is_compiled(monkeypatch):
    monkeypatch.setattr(ift.backends, "_error", "INITFAST_BACKEND must be one of")
    with pytest.raises(ValueError, match="INITFAST_BACKEND must be one of"):
        jax.jit(lambda key: ij.normal()(key, (2, 2)))(KEY)


@pytest.fixture
def restore_threads():
    yield
    ift.set_num_threads(None)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_threads_of_a_fill_are_those_of_the_process(threads, restore_threads):
    ift.set_num_threads(threads)
    fill = jax.jit(lambda key: ij.normal()(key, (1 << 24,))).lower(KEY).compile()
    fill(KEY).block_until_ready()
    counts, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            counts.append(len(os.listdir("/proc/self/task")))
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        before = len(os.listdir("/proc/self/task"))
        for _ in range(3):
            fill(KEY).block_until_ready()
    finally:
        stop.set()
        watcher.join()
    assert max(counts) - before == threads - 1
