"""Kill writing processes, for test_kills.py: `python kills.py WAY CASE FOLDER COUNT SEED`.

A process without threads, which has imported initfast, forks the processes that it kills, so that
each takes only milliseconds. It prints its counts as JSON. WAY is `at_random`, `at_each_step` or
`fault_at_each_call`."""

import contextlib
import ctypes
import errno
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
from initfast.files import checkpoint, formats, npyfile, partial, specs, writer

CHUNK = 16384
SHAPE = (300, 128)


def slowly(_):
    """Sleep in the progress callback, so that kills hit a write in progress on any machine."""
    time.sleep(0.001)


def fork(work, *arguments) -> int:
    """Fork a child that runs `work`, and return its process id.

    Its exit code is 0, or 2 if another process is writing, or 1 with a traceback on stderr."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work(*arguments)
        code = 0
    except BlockingIOError:
        code = 2
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int) -> int:
    """Wait for a child, and return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Case:
    """A job of writing files.

    Attributes:
        workers: the number of writing processes.
        expected: the bytes of each file in the end.
    """

    workers = 1
    expected: dict[Path, bytes]

    def begin(self) -> None:
        """Create the files that exist before the first process."""

    def run(self, worker: int) -> None:
        """Write the part of this worker, or resume it."""
        raise NotImplementedError

    def is_whole(self, path: Path) -> bool:
        """Return whether the file is complete; a file with the final name must never be incomplete."""
        if not path.exists():
            return False
        assert path.read_bytes() == self.expected[path], (
            f"a wrong file under the final name {path.name}"
        )
        return True


class Fill(Case):
    """One array in one file."""

    def __init__(self, folder: Path) -> None:
        tensor = formats.Tensor(None, ift.HeNormal(seed=5), SHAPE, dtypes.FLOAT32)
        self.file = formats.NPY.file(folder / "w.npy", [tensor])
        data = ift.HeNormal(seed=5)(SHAPE).tobytes()
        self.expected = {self.file.path: npyfile.header(SHAPE, dtypes.FLOAT32) + data}

    def run(self, worker: int) -> None:
        writer.write(self.file, resume=True, advance=slowly, measure=True, chunk_bytes=CHUNK)


def model(layers: int) -> dict:
    """Return the spec of a model with an orthogonal tensor and one without elements."""
    tensors = {
        f"layers.{n}": {"shape": [70, 64 + n], "dtype": "float32", "init": "he_normal"}
        for n in range(layers)
    }
    tensors["q"] = {"shape": [60, 40], "dtype": "float32", "init": "orthogonal"}
    tensors["none"] = {"shape": [0, 3], "dtype": "float16", "init": "zeros"}
    return {"tensors": tensors}


def tiny() -> dict:
    """Return the spec of a model of many small tensors, which are written together."""
    inits = ["zeros", "he_normal", "orthogonal", "uniform"]
    return {
        "tensors": {
            f"h.{n}": {"shape": [n % 7 + 1, 9], "dtype": "float32", "init": inits[n % 4]}
            for n in range(1500)
        }
    }


class Rows(Fill):
    """Rows of an existing file, written by three processes."""

    workers = 3

    def begin(self) -> None:
        writer.write(self.file, blank=True)

    def run(self, worker: int) -> None:
        rows = SHAPE[0] // self.workers
        first, last = (worker - 1) * rows, worker * rows
        tensor = self.file.tensors[0]
        writer.write_rows(
            self.file.path, tensor, first, last, advance=slowly, chunk_bytes=CHUNK // 4
        )

    def is_whole(self, path: Path) -> bool:
        """Return whether all rows are written; before that, each byte is right or 0."""
        actual, expected = (
            np.frombuffer(data, np.uint8) for data in (path.read_bytes(), self.expected[path])
        )
        assert ((actual == expected) | (actual == 0)).all(), "wrong rows"
        return bool((actual == expected).all())


class Small(Case):
    """Small files that replace others: pictures and JSON."""

    def __init__(self, folder: Path) -> None:
        self.old = {folder / name: name.encode() * 9 for name in ("a.json", "b.png")}
        self.expected = {path: data[::-1] * 99 for path, data in self.old.items()}

    def begin(self) -> None:
        for path, data in self.old.items():
            path.write_bytes(data)

    def run(self, worker: int) -> None:
        for path, data in self.expected.items():
            partial.write_small(path, data, force=True)

    def is_whole(self, path: Path) -> bool:
        """Return whether the file is replaced; before that, it is the old file."""
        actual = path.read_bytes()
        assert actual in (self.old[path], self.expected[path]), f"a wrong file {path.name}"
        return actual == self.expected[path]


class Model(Case):
    """A model in one file, written by one process."""

    out = "m.safetensors"
    limit = None
    spec = model(6)

    def __init__(self, folder: Path) -> None:
        spec = self.spec
        if self.limit is not None:
            (folder / self.out).mkdir()
        self.job = checkpoint.plan(spec, folder / self.out, 3, self.limit)
        self.expected = {}
        initializers = {
            entry.name: entry.seeded_initializer(ift.Seed(3)) for entry in specs.read(spec).entries
        }
        for file in self.job.files:
            data = b"".join(
                np.asarray(initializers[t.name].block(t.shape, ..., t.dtype)).tobytes()
                for t in file.tensors
            )
            self.expected[file.path] = file.header + data
        if self.job.index is not None:
            self.expected[self.job.index.path] = self.job.index.header

    def run(self, worker: int) -> None:
        checkpoint.write(
            self.job,
            shard=(worker, self.workers),
            resume=True,
            progress=slowly,
            chunk_bytes=CHUNK,
        )


class Tiny(Model):
    """A model of many small tensors in one file, written by one process."""

    spec = tiny()


class Shards(Model):
    """A model in shards, written by one process."""

    out = "m"
    limit = 40_000


class Workers(Shards):
    """A model in shards, written by three processes, two of which have the same number."""

    workers = 3


class Commands(Case):
    """The command lines of an array and of a model, in sequence."""

    def __init__(self, folder: Path) -> None:
        parts = Fill(folder), Model(folder)
        self.expected = parts[0].expected | parts[1].expected
        spec = folder.with_name(f"{folder.name}.json")
        spec.write_text(json.dumps(model(6)))
        shape, out = "x".join(map(str, SHAPE)), [str(path) for path in self.expected]
        self.lines = (
            ["fill", out[0], "--shape", shape, "--init", "he_normal", "--seed", "5", "--resume"],
            ["model", str(spec), "--out", out[1], "--seed", "3", "--resume"],
        )

    def run(self, worker: int) -> None:
        for line in self.lines:
            with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
                code = cli.main(line)
            if code:
                raise OSError(f"exit code {code}")


CASES = {
    "fill": Fill,
    "rows": Rows,
    "model": Model,
    "tiny": Tiny,
    "shards": Shards,
    "workers": Workers,
    "small": Small,
    "commands": Commands,
}


def check_names(case) -> bool:
    """Return whether all files are complete."""
    complete = [
        case.is_whole(path) for path in case.expected
    ]  # check all, without stopping at the first
    return all(complete)


def check_end(case) -> None:
    """Check that the folder has all files, and no others."""
    assert check_names(case)
    folder = next(iter(case.expected)).parent
    others = {path.name for path in folder.iterdir()} - {path.name for path in case.expected}
    assert not others, f"left behind: {sorted(others)}"


def clear(case) -> None:
    """Delete all files, and begin again."""
    folder = next(iter(case.expected)).parent
    for path in folder.iterdir():
        path.unlink()
    case.begin()


def workers(case) -> list[int]:
    """Return the numbers of the workers."""
    return list(range(1, case.workers + 1))


def run_all(case) -> float:
    """Run all workers at once until they end, and return the seconds."""
    started = time.perf_counter()
    for child in [fork(case.run, worker) for worker in workers(case)]:
        assert wait(child) == 0
    check_end(case)
    return time.perf_counter() - started


def at_random(case, kills: int, seed: int) -> dict[str, int]:
    """Kill workers with SIGKILL at random moments, and resume and kill them again until all files
    are complete; repeat this until there were `kills` kills.
    """
    random.seed(seed)
    killed = lives = rounds = 0
    whole = run_all(case)
    clear(case)
    while killed < kills:
        complete = False
        while not complete:
            ends = {fork(case.run, worker): random.uniform(0, whole) for worker in workers(case)}
            if case.workers > 1 and random.getrandbits(1):  # two processes with the same number
                ends[fork(case.run, 1)] = random.uniform(0, whole)
            round_start = time.perf_counter()
            for child, moment in sorted(ends.items(), key=lambda end: end[1]):
                time.sleep(max(0.0, moment - (time.perf_counter() - round_start)))
                os.kill(child, signal.SIGKILL)
            codes = [wait(child) for child in ends]
            assert 1 not in codes, codes
            killed += codes.count(-signal.SIGKILL)
            lives += len(codes)
            complete = check_names(case) or killed >= kills
        run_all(case)  # the last kill may have been between two steps of a rename
        clear(case)
        rounds += 1
    return {"kills": killed, "lives": lives, "rounds": rounds}


STEPS = ("open", "pwrite", "ftruncate", "posix_fallocate", "fsync", "link", "replace", "unlink")


def crash_at(step: int, after: bool) -> None:
    """End the process like a kill at the `step`-th system call that changes files."""
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
    """End one worker at each `stride`-th step, or just after it, and its next run at a random step;
    then run all workers again.
    """
    random.seed(seed)
    crashes, step, code = 0, random.randrange(stride) + 1 - stride, 77

    def dying(worker: int, step: int, after: bool) -> None:
        crash_at(step, after)
        case.run(worker)

    while code == 77:
        step += stride
        for after in (False, True):
            order = random.sample(workers(case), case.workers)
            for worker in order[:-1]:
                assert wait(fork(case.run, worker)) == 0
            code = wait(fork(dying, order[-1], step, after))
            check_names(case)
            again = wait(fork(dying, order[-1], random.randint(1, 40), after))
            check_names(case)
            assert {code, again} <= {0, 77}
            crashes += (code, again).count(77)
            run_all(case)
            clear(case)
    return {"crashes": crashes, "steps": step}


ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EMFILE)
KILL_BEFORE, KILL_AFTER = -1, -2


def fault_at_each_call(case, stride: int, seed: int) -> dict[str, int]:
    """Make each `stride`-th system call on files fail with each error, or end the process before or
    after it; then run all workers again. This needs faults.c, preloaded.
    """
    random.seed(seed)
    shim = ctypes.CDLL(None)
    for worker in workers(case):  # import all modules before the faults
        case.run(worker)
    clear(case)
    counts = {"faults": 0, "kills": 0, "errors": 0, "none": 0}

    def faulty(worker: int, step: int, fault: int) -> None:
        shim.faults_arm(ctypes.c_long(step), fault)
        code = 0
        try:
            case.run(worker)
        except OSError:
            code = 3
        finally:
            was_reached = shim.faults_count() >= step
            shim.faults_arm(ctypes.c_long(-1), 0)
        os._exit(code + 4 if was_reached else code)

    for fault in (*ERRORS, KILL_BEFORE, KILL_AFTER):
        step = 1 + seed % stride
        while True:
            others = random.sample(workers(case), case.workers)
            for worker in others[:-1]:
                assert wait(fork(case.run, worker)) == 0
            code = wait(fork(faulty, others[-1], step, fault))
            check_names(case)
            assert code in (0, 4, 7, -signal.SIGKILL), (step, fault, code)
            if code == 0:  # there are fewer calls
                break
            counts["faults"] += 1
            counts[{7: "errors", 4: "none"}.get(code, "kills")] += 1
            run_all(case)
            clear(case)
            step += stride
        clear(case)
    return counts


if __name__ == "__main__":
    way, name, folder, count, seed = sys.argv[1:]
    case = CASES[name](Path(folder))
    case.begin()
    print(json.dumps(globals()[way](case, int(count), int(seed))))
