"""Compare initfast with the installed libraries in some 20 minutes: `python benchmarks/measure.py`.

This measures every section, stores the figures in results/MACHINE.json, and rewrites the tables of
README.md and benchmarks/README.md from the results of all machines. `measure.py TEXT ...` measures
only the sections whose names contain a text, and keeps the others; `--list` prints the names.
`--missing` measures only sections without stored results, to continue an interrupted run. `--quick`
tries everything on small arrays and writes nothing.

Each section runs in a separate process on as many cores as it has threads, because XLA uses all
cores that it can. The libraries of a section take turns. A figure is the median over the rounds; a
ratio is the median of the ratios within a round. Files are written to the system's temporary
folder: set TMPDIR to measure another file system.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import contenders
import gpt2
import machine
import numpy as np
import peak
import report
import rivals

import initfast as ift
from initfast.cli import _race as race
from initfast.cli.bench import INITFAST

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ALL = ift.get_num_threads()
Row = dict[str, Any]


class Scale(NamedTuple):
    """The sizes and repetitions of a run."""

    log2_size: int  # elements of a warm fill
    log2_largest: int  # bytes, of the plot and of the largest new array; less if memory is short
    rounds: int
    limit: float  # seconds of one library in one comparison


# Seconds until a section is stopped, several times the duration of the slowest.
PATIENCE = 1800
FULL, QUICK = Scale(26, 32, 5, 2.5), Scale(18, 20, 2, 0.2)


class Section(NamedTuple):
    """A part of the results, measured in a separate process."""

    name: str
    threads: int
    measure: Callable[[Scale], list[Row]]
    keras: str = "jax"  # Keras' backend, one per process


def _largest(scale: Scale) -> int:
    """Return the bytes of the largest array that leaves memory for a copy, as JAX makes one."""
    size = 2**scale.log2_largest
    while size > machine.memory_bytes("MemAvailable") / 2.5:
        size //= 4
    return size


def _compare(
    libraries: list[race.Library],
    dtype: str,
    size: int,
    scale: Scale,
    memory: race.Array | None = None,
    tasks: tuple[race.Task, ...] = race.TASKS,
) -> list[Row]:
    """Compare libraries in all tasks."""
    options = {"memory": memory, "rounds": scale.rounds, "limit": scale.limit}
    results = []
    for task in tasks:
        rows = race.compare(libraries, task, dtype, size, **options)
        if ift.get_num_threads() == 1 and (cycle := machine.cycle_seconds()):
            for row in rows:
                if "seconds" in row:
                    row["cycles/element"] = row["seconds"] / size / cycle
        results += rows
    return results


def warm(scale: Scale) -> list[Row]:
    """Measure float32 in existing memory."""
    memory = race.aligned_memory(2**scale.log2_size)
    return _compare(rivals.everyone(), "float32", memory.size, scale, memory)


def bounds(scale: Scale) -> list[Row]:
    """Measure float32 truncated normals with bounds -3, 3, which only few libraries have."""
    memory = race.aligned_memory(2**scale.log2_size)
    able = [row for row in rivals.everyone() if rivals.WIDE in row.tasks]
    return _compare(able, "float32", memory.size, scale, memory, (rivals.WIDE,))


def warm_dtypes(scale: Scale) -> list[Row]:
    """Measure the other dtypes, in arrays of half as many elements."""
    results = []
    for dtype in ("float64", "float16", "bfloat16"):
        memory = race.aligned_memory(2 ** (scale.log2_size - 1), dtype)
        results += _compare(rivals.everyone(), dtype, memory.size, scale, memory)
    return results


def keras(scale: Scale) -> list[Row]:
    """Measure Keras on another backend, together with initfast."""
    few = [row for row in rivals.everyone() if row.name == "initfast" or row.module == "keras"]
    memory = race.aligned_memory(2**scale.log2_size)
    return _compare(few, "float32", memory.size, scale, memory)


def new(scale: Scale) -> list[Row]:
    """Measure float32 in new arrays: the system allocates their memory during the fill."""
    return _compare(rivals.everyone(), "float32", 2**scale.log2_size, scale)


def new_large(scale: Scale) -> list[Row]:
    """Measure new arrays of 4 GiB, and the fastest way to touch as much memory."""
    few = [row for row in rivals.everyone() if row.name in ("initfast", "memset")]
    scale = scale._replace(rounds=min(3, scale.rounds))
    return _compare(few, "float32", _largest(scale) // 4, scale)


def own(scale: Scale) -> list[Row]:
    """Compare initfast with itself: dtypes, backends and threads."""
    results = []
    size = 2**scale.log2_size
    with ift.threads(1):
        for task in race.TASKS:
            memories = {dtype: race.aligned_memory(size, dtype) for dtype in race.DTYPES}
            jobs = {dtype: race.Job(task, dtype, size, memories[dtype]) for dtype in race.DTYPES}
            fills = {dtype: race.checked_fill(INITFAST, job) for dtype, job in jobs.items()}
            fills |= {
                library.name: race.checked_fill(library, jobs["float32"])
                for library in rivals.own()[1:]
                if library.name != "initfast portable"
            }
            fills |= {
                f"{count} threads": _on(count, fills["float32"])
                for count in {2, ALL}
                if 1 < count <= ALL
            }
            seconds = race.interleaved(fills, scale.rounds)
            results += [
                {
                    "task": task.name,
                    "what": name,
                    "speed of float32's": race.ratio(seconds, "float32", name),
                }
                for name in fills
                if name != "float32"
            ]
    return results


def flat(scale: Scale) -> list[Row]:
    """Measure the time per element in larger and larger arrays, up to 2^32 elements."""
    init = ift.RandomNormal(0.0, 1.0, seed=1)
    size = 2 ** (scale.log2_largest if scale is FULL else scale.log2_size)
    while 4 * size > machine.memory_bytes("MemAvailable") / 1.25:
        size //= 4
    memory = race.aligned_memory(size)
    sizes = [2**number for number in range(min(20, scale.log2_size), size.bit_length(), 2)]
    for number in sizes:  # check the end of the array, where a long one could be wrong
        init.fill(memory[:number])
        if not np.array_equal(memory[number - 999 : number], init.block((number,), np.s_[-999:])):
            raise ValueError(f"the end of an array of {number} elements is wrong")
    seconds = race.interleaved(
        {str(number): partial(init.fill, memory[:number]) for number in sizes},
        scale.rounds,
        least=0.02,
    )
    return [
        {"elements": number, "ns/element": race.median(seconds, str(number)) / number * 1e9}
        for number in sizes
    ]


def parts(scale: Scale) -> list[Row]:
    """Measure parts of a logical array of float32 normals."""
    results = []
    for situation in dict.fromkeys(part.situation for part in contenders.PARTS):
        size = 2 ** (scale.log2_size - 3)
        fills = {}
        for part in contenders.PARTS:
            if part.situation == situation and rivals.installed(part.module):
                fills[part.library] = part.prepare(size)
                contenders.check_part(part, fills[part.library](), size)
        seconds = race.interleaved(fills, scale.rounds, scale.limit)
        results += [
            {
                "situation": situation,
                "library": name,
                "elements": size,
                "ns/element": race.median(seconds, name) / size * 1e9,
                "speed-up": race.ratio(seconds, name, "initfast"),
            }
            for name in fills
        ]
    return results


def small(scale: Scale) -> list[Row]:
    """Measure he_normal((n, n))."""
    results = []
    for side in (4, 22, 64, 256):
        fills = {}
        for row in contenders.SMALL:
            if rivals.installed(row.module):
                rivals.load(row.module)
                fills[row.library] = row.prepare(side)
        seconds = race.interleaved(fills, scale.rounds, scale.limit, least=0.02)
        results += [
            {
                "library": name,
                "elements": side * side,
                "microseconds": race.median(seconds, name) * 1e6,
                "speed-up": race.ratio(seconds, name, "initfast"),
            }
            for name in fills
        ]
    return results


def imports(scale: Scale) -> list[Row]:
    """Measure processes that only import a library."""
    names = ["python", *filter(rivals.installed, contenders.IMPORTS)]
    fills = {
        name: partial(
            subprocess.run, contenders.import_command(name), check=True, capture_output=True
        )
        for name in names
    }
    seconds = race.interleaved(fills, scale.rounds, scale.limit)
    return [
        {
            "library": name,
            "seconds": race.median(seconds, name),
            "of numpy's": 1 / race.ratio(seconds, "numpy", name),
        }
        for name in names
    ]


def models(scale: Scale) -> list[Row]:
    """Measure the construction of GPT-2 in torch, without and with initfast's patch."""
    fills = gpt2.fills(*((12, 768) if scale is FULL else (1, 16)))
    seconds = race.interleaved(fills, min(3, scale.rounds), scale.limit)
    return [
        {
            "library": library,
            "task": draw,
            "seconds": race.median(seconds, f"{library} {draw}"),
            "speed-up": race.ratio(seconds, f"{library} {draw}", f"initfast {draw}"),
        }
        for library, _, draw in (name.partition(" ") for name in fills)
    ]


def peaks(scale: Scale) -> list[Row]:
    """Measure the peak memory while a float32 array is made, relative to its bytes."""
    size = 2 ** min(scale.log2_size, 24)
    results = []
    for task in race.TASKS:
        libraries = {
            library.module: library  # one per module: its generators use the same memory
            for library in reversed(rivals.everyone())
            if library.random and library.does(task, "float32", in_place=False)
        }
        for library in libraries.values():
            bytes_ = peak.peak_of(library.name, task.name, "float32", size)
            if bytes_ is not None:
                row = {"library": library.name, "task": task.name}
                results.append(row | {"of its bytes": bytes_ / (4 * size)})
    return results


def files(scale: Scale) -> list[Row]:
    """Measure `initfast fill` of a raw file, and dd with as many zeros, both with fsync."""
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "array.bin"
        size = 2 ** max(20, scale.log2_largest)
        while size > shutil.disk_usage(name).free / 4:
            size //= 4
        fill = [sys.executable, "-m", "initfast", "fill", target, "--quiet", "--seed", "1"]
        fill += ["--shape", f"{size // 4}", "--init"]
        inits = {"uniform": "random_uniform", "normal": "random_normal"}
        commands = {task: [*fill, init] for task, init in inits.items()}
        blocks = f"count={size // 2**20}"
        commands["dd"] = ["dd", "if=/dev/zero", f"of={target}", "bs=1M", blocks, "conv=fsync"]
        seconds: race.Seconds = {task: [] for task in commands}
        for _ in range(min(3, scale.rounds)):
            for task, command in commands.items():
                os.sync()
                start = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds[task].append(time.perf_counter() - start)
                if target.stat().st_size != size:
                    raise ValueError(f"{task} must write {size} bytes")
                target.unlink()
        return [
            {
                "library": "dd" if task == "dd" else f"initfast fill, {task}",
                "task": task,
                "bytes": size,
                "file system": machine.file_system(Path(name)),
                "seconds": race.median(seconds, task),
                "GB/s": size / race.median(seconds, task) / 1e9,
                "relative to dd": race.ratio(seconds, "dd", task),
            }
            for task in commands
        ]


def sizes(scale: Scale) -> list[Row]:
    """Measure the points of the plot: float32 from 1 KiB, in place if a library can."""
    largest = _largest(scale)
    memory = race.aligned_memory(largest // 4)
    results, slow = [], set()
    for task in (race.NORMAL, race.TRUNCATED):
        for log2_bytes in range(10, largest.bit_length(), 2):
            size = 2**log2_bytes // 4
            rows = race.compare(
                [row for row in rivals.everyone() if (task.name, row.name) not in slow],
                task,
                "float32",
                size,
                memory=memory[:size],
                rounds=max(1, scale.rounds - 2) if log2_bytes < 28 else 1,
                limit=scale.limit / 2,
                least=0.005,
            )
            # A library's line ends if its next point would take too long.
            slow |= {
                (task.name, row["library"])
                for row in rows
                if row.get("seconds", 0) * 4 > scale.limit * 2.5
            }
            results += rows
    return results


def _on(count: int, fill: race.Fill) -> race.Fill:
    def run() -> None:
        with ift.threads(count):
            fill()

    return run


SECTIONS = (
    Section("float32, 1 thread", 1, warm),
    *((Section(f"float32, {ALL} threads", ALL, warm),) if ALL > 1 else ()),
    Section("bounds -3, 3, 1 thread", 1, bounds),
    *((Section(f"bounds -3, 3, {ALL} threads", ALL, bounds),) if ALL > 1 else ()),
    Section("other dtypes, 1 thread", 1, warm_dtypes),
    Section("keras on torch, 1 thread", 1, keras, "torch"),
    Section("keras on tensorflow, 1 thread", 1, keras, "tensorflow"),
    Section("new arrays, 1 thread", 1, new),
    *((Section(f"new arrays, {ALL} threads", ALL, new),) if ALL > 1 else ()),
    Section("large new arrays", ALL, new_large),
    Section("own ratios", ALL, own),
    Section("larger and larger, 1 thread", 1, flat),
    Section("parts, 1 thread", 1, parts),
    Section("small calls", 1, small),
    Section("imports", 1, imports),
    Section("models", ALL, models),
    Section("peak memory", ALL, peaks),
    Section("files", ALL, files),
    Section("sizes", ALL, sizes),
)


def in_process(section: Section, scale: Scale) -> list[Row]:
    """Measure a section in this process, limited to its cores before any engine is imported."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-section.threads :])
    with race.using_threads(section.threads):
        return section.measure(scale)


def run(section: Section, scale: Scale) -> list[Row] | None:
    """Measure a section in a separate process; return None and print the reason if it fails."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": section.keras,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": str(section.threads),
        "INITFAST_NUM_THREADS": str(ALL),
    }
    arguments = ["--in-process", section.name, *(["--quick"] if scale is QUICK else [])]
    try:
        process = subprocess.run(
            [sys.executable, __file__, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        rows: list[Row] = (
            json.loads(process.stdout.splitlines()[-1]) if not process.returncode else []
        )
        if rows:
            return rows
        reason = f"exit code {process.returncode}\n{process.stderr[-2000:]}"
    except subprocess.TimeoutExpired:
        reason = f"not finished in {PATIENCE} s"
    print(f"{section.name} failed: {reason}", file=sys.stderr)
    return None


def _round(value: Any) -> Any:
    """Round floats to four digits, because people read the results and figures vary more."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _round(part) for key, part in value.items()}
    return [_round(part) for part in value] if isinstance(value, list) else value


def main() -> int:
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "texts",
        nargs="*",
        metavar="TEXT",
        help="a part of the names of sections to measure (default: all sections)",
    )
    parser.add_argument("--list", action="store_true", help="print the names of the sections")
    parser.add_argument(
        "--missing", action="store_true", help="measure only sections without stored results"
    )
    parser.add_argument(
        "--quick", action="store_true", help="try everything on small arrays, and write no file"
    )
    parser.add_argument(
        "--machine",
        default=machine.slug(),
        help="name of the file of results (default: %(default)s)",
    )
    parser.add_argument(
        "--no-readme", action="store_true", help="do not rewrite the tables and the plot"
    )
    parser.add_argument("--in-process", metavar="SECTION", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    if arguments.in_process:
        section = next(section for section in SECTIONS if section.name == arguments.in_process)
        print(json.dumps(_round(in_process(section, scale))))
        return 0
    if arguments.list:
        print(*names, sep="\n")
        return 0
    for text in arguments.texts:
        if not any(text in name for name in names):
            parser.error(f"no section has {text!r} in its name; --list prints the names")
    if os.getloadavg()[0] > ALL / 2:
        print(
            f"other programs are running: load {os.getloadavg()[0]:.1f} on {ALL} cores", flush=True
        )
    missing = rivals.missing()
    if missing:
        print(f"not measured, because not installed: {', '.join(missing)}", flush=True)
    target = RESULTS / f"{arguments.machine}.json"
    stored: dict[str, Any] = {"sections": {}}
    if target.exists() and not arguments.quick:
        stored = json.loads(target.read_text(encoding="utf-8"))
    failed = 0
    for section in SECTIONS:
        if arguments.texts and not any(text in section.name for text in arguments.texts):
            continue
        if arguments.missing and section.name in stored["sections"]:
            continue
        if section.name.startswith("keras on ") and section.keras in missing:
            print(f"{section.name}: not measured, {section.keras} is not installed", flush=True)
            continue
        start = time.monotonic()
        rows = run(section, scale)
        failed += rows is None
        if rows is None:
            continue
        took = time.monotonic() - start
        errors = {row["library"] + ": " + row["error"] for row in rows if "error" in row}
        print(
            f"{section.name}: {len(rows)} rows in {took:.0f} s",
            *sorted(errors),
            sep="\n  ",
            flush=True,
        )
        stored["sections"][section.name] = {
            "date": str(datetime.date.today()),
            "seconds": round(took, 1),
            "threads": section.threads,
            "scale": scale._asdict(),
            "machine": machine.describe(),
            "missing": missing,
            "rows": rows,
        }
        if not arguments.quick:
            RESULTS.mkdir(exist_ok=True)
            partial_ = target.with_suffix(
                ".partial"
            )  # the old results stay until the file is complete
            partial_.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
            partial_.replace(target)
            if section.measure is sizes and not arguments.no_readme:
                report.draw(target.stem, stored)
    if arguments.quick:
        print(report.text({target.stem: stored}) if stored["sections"] else "nothing was measured")
    elif not arguments.no_readme:
        report.write(report.read())
    print(report.targets(stored))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
