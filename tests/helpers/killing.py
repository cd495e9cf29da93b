"""Kills writes for test_kills.py: `python killing.py WAY CASE FOLDER COUNT SEED`, a process that
forks what it kills.

It has initfast imported and no threads, so that each life of a child costs milliseconds. Prints
what it did as JSON. WAY is a function below, CASE is `fill` or `model`, and COUNT is what the
function makes of it."""

import itertools
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

import initfast as ift
from initfast import cli
from initfast.core import dtypes
from initfast.files import claims, containers, pumping, runs, writing

# Small and slow, so that a kill lands in the middle of something on any machine.
runs.CHUNK_BYTES = 16384
claims.SECONDS = 0.002
SHAPE = (300, 128)


def slow_down() -> None:
    real = pumping.make

    def make(*arguments):
        time.sleep(0.002)
        return real(*arguments)

    pumping.make = make


def fork(work, *arguments) -> int:
    """A child that runs `work` and exits: 0, or 1 with what went wrong on stderr."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = work(*arguments) or 0
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int) -> int:
    """Its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Fill:
    """`initfast fill`, by one process."""

    workers = 1

    def __init__(self, folder: Path) -> None:
        self.out = folder / "w.npy"
        self.arguments = [
            "fill",
            str(self.out),
            "--shape",
            "300x128",
            "--init",
            "he_normal",
            "--seed",
            "5",
        ]
        array = ift.HeNormal(seed=5)(SHAPE)
        self.expected = {
            self.out: containers.npyfile.header(SHAPE, dtypes.FLOAT32) + array.tobytes()
        }

    def run(self, worker: int, resume: bool = True) -> int:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return cli.main([*self.arguments, *["--resume"] * resume])


class Model:
    """A job of two files, one of them with a tensor that is made whole, and a note, by three
    processes.
    """

    workers = 3

    def __init__(self, folder: Path) -> None:
        specs = {
            "a": [("x", ift.RandomNormal(seed=1), (70, 64), "float32"), ("none", ift.Zeros(), (0, 3), "float32"),
                  ("q", ift.Orthogonal(seed=2), (60, 40), "float32")],
            "b": [("y", ift.HeUniform(seed=3), (999,), "float16"), ("count", ift.Ones(), (), "int64"),
                  ("z", ift.GlorotNormal(seed=4), (50, 31), "float64")],
        }  # fmt: skip
        files, self.expected = [], {}
        for name, rows in specs.items():
            tensors = [containers.Tensor(n, i, s, dtypes.resolve_numeric(d)) for n, i, s, d in rows]
            files.append(containers.safetensors(folder / f"{name}.safetensors", tensors))
            data = b"".join(
                np.asarray(t.initializer.block(t.shape, ..., t.dtype)).tobytes() for t in tensors
            )
            self.expected[files[-1].path] = files[-1].header + data
        note = folder / "index.json"
        self.expected[note] = b'{"weights": 1}'
        self.job = writing.Job(
            tuple(files), {"seed": 1}, folder / "model", ((note, self.expected[note]),)
        )

    def run(self, worker: int, resume: bool = True) -> int:
        writing.write(self.job, worker=(worker, self.workers), resume=resume)
        return 0


def check_names(case) -> bool:
    """Whether all files are in place. No final name may ever hold anything but the whole file."""
    there = [path for path in case.expected if path.exists()]
    for path in there:
        assert path.read_bytes() == case.expected[path], (
            f"a wrong file under the final name {path.name}"
        )
    return len(there) == len(case.expected)


def check_end(case) -> None:
    """All files, and nothing beside them."""
    assert check_names(case)
    folder = next(iter(case.expected)).parent
    left = {path.name for path in folder.iterdir()} - {path.name for path in case.expected}
    assert not left, f"left behind: {sorted(left)}"


def clear(case) -> None:
    folder = next(iter(case.expected)).parent
    for path in folder.iterdir():
        path.unlink()


def at_random(case, kills: int, seed: int) -> dict[str, int]:
    """Kill workers with SIGKILL at random moments, each resumed until all is done, until there were
    `kills` kills.
    """
    slow_down()
    random.seed(seed)
    done = lives = finished = 0
    started = time.perf_counter()
    for child in [fork(case.run, worker) for worker in range(1, case.workers + 1)]:
        assert wait(child) == 0
    check_end(case)
    clear(case)
    whole = time.perf_counter() - started  # how long it takes undisturbed
    while done < kills:
        while True:
            ends = {
                fork(case.run, worker): random.uniform(0, whole)
                for worker in range(1, case.workers + 1)
            }
            begun = time.perf_counter()
            for child, moment in sorted(ends.items(), key=lambda end: end[1]):
                time.sleep(max(0.0, moment - (time.perf_counter() - begun)))
                os.kill(child, signal.SIGKILL)
            codes = [wait(child) for child in ends]
            done += codes.count(-signal.SIGKILL)
            lives += len(codes)
            complete = check_names(case)
            if complete and not [
                path for path in case.expected if list(path.parent.glob("*.partial*"))
            ]:
                break
            if 1 in codes:
                # Only one that came after the others had finished may be refused: the files are
                # there, as they should.
                assert complete or all(code != 1 for code in codes), codes
        check_end(case)
        clear(case)
        finished += 1
    return {"kills": done, "lives": lives, "files": finished}


STEPS = (
    "open",
    "pwrite",
    "ftruncate",
    "posix_fallocate",
    "fsync",
    "fdatasync",
    "replace",
    "unlink",
)


def crash_at(step: int, after: bool) -> None:
    """End the process, as a kill would, at the `step`-th call of the system that changes anything."""
    count = itertools.count(1)  # of all threads

    def wrap(real):
        def call(*arguments, **options):
            mine = next(count) == step
            if mine and not after:
                os._exit(77)
            try:
                return real(*arguments, **options)
            finally:
                if mine:
                    os._exit(77)

        return call

    for name in STEPS:
        setattr(os, name, wrap(getattr(os, name)))


def at_each_step(case, stride: int, seed: int) -> dict[str, int]:
    """End the last worker at each step of its work (each `stride`-th), or just after; then let any
    worker come again.

    Of those that come again, one may find all files in place and nothing else left, and is refused.
    """
    random.seed(seed)
    crashes, step, refused = 0, random.randrange(stride) + 1 - stride, 0
    # Claims by time would come at other steps each time: none, so that every step is met.
    claims.SECONDS = 1e9

    def dying(worker: int, step: int, after: bool) -> int:
        crash_at(step, after)
        return case.run(worker)

    code = 77
    while code == 77:
        step += stride
        for after in (False, True):
            order = list(range(1, case.workers + 1))
            random.shuffle(order)
            for worker in order[:-1]:
                assert wait(fork(case.run, worker)) == 0
            code = wait(fork(dying, order[-1], step, after))
            crashes += code == 77
            check_names(case)
            # The same again, and crashed again; then all come, in any order, at once or one after
            # the other.
            crashes += (
                wait(fork(dying, order[-1], random.randint(1, 40), bool(random.getrandbits(1))))
                == 77
            )
            check_names(case)
            random.shuffle(order)
            if random.getrandbits(1):
                codes = [wait(child) for child in [fork(case.run, worker) for worker in order]]
            else:
                codes = [wait(fork(case.run, worker)) for worker in order]
            check_names(case)
            assert set(codes) <= {0, 1}, codes
            refused += codes.count(1)
            check_end(case)
            clear(case)
    return {"crashes": crashes, "steps": step, "refused": refused}


def together(case, rounds: int, seed: int) -> dict[str, int]:
    """Let the workers come in every order, one after the other and all at once."""
    orders = list(itertools.permutations(range(1, case.workers + 1)))
    for number in range(rounds):
        order = orders[number % len(orders)]
        for worker in order:
            assert wait(fork(case.run, worker, False)) == 0
        check_end(case)
        clear(case)
        for child in [fork(case.run, worker, False) for worker in order]:
            assert wait(child) == 0
        check_end(case)
        clear(case)
    return {"rounds": rounds}


if __name__ == "__main__":
    way, name, folder, count, seed = sys.argv[1:]
    case = {"fill": Fill, "model": Model}[name](Path(folder))
    print(json.dumps(globals()[way](case, int(count), int(seed))))
