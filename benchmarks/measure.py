"""Measure initfast beside what is installed: `python benchmarks/measure.py`, about 20 minutes on a
quiet machine.

Measures every section, keeps the figures in results/MACHINE.json, and rewrites README.md's tables
and the plot from them. `measure.py SECTION ...` measures these again and keeps the others;
`--missing` measures those that the file does not have yet, so that an interrupted run goes on;
`--quick` tries everything on small arrays and writes nothing.

Each section runs in processes of its own that are confined to as many cores as it uses threads,
since XLA takes all that it may. In a section contenders take turns (`initfast.bench.rounds`); a
figure is a median over the rounds, and a ratio the median of the ratios within one round."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
import peak

import initfast as ift
from initfast.bench import comparison, peers, rounds, tasks
from initfast.bench.fills import Job

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ALL = ift.get_num_threads()
Row = dict[str, Any]


class Scale(NamedTuple):
    """How large and how often."""

    log2_size: int  # elements of a warm fill
    log2_largest: int  # bytes, of the plot and of the largest new array; less where the memory is
    rounds: int
    limit: float  # seconds that one contender may take of one comparison


FULL, QUICK = Scale(26, 32, 5, 2.5), Scale(18, 20, 2, 0.2)


class Section(NamedTuple):
    name: str
    threads: int
    measure: Callable[[Scale], list[Row]]
    keras: str = "jax"  # its backend is one a process


def _largest(scale: Scale) -> int:
    """The largest array that leaves room for a second one beside it, as JAX and TensorFlow make."""
    size = 2**scale.log2_largest
    while size > machine.memory_bytes("MemAvailable") / 2.5:
        size //= 4
    return size


def warm(scale: Scale) -> list[Row]:
    """float32 into memory that is there."""
    memory = comparison.aligned_memory(2**scale.log2_size)
    found = []
    for task in tasks.TASKS:
        found += _compared(_everyone(), task, "float32", memory.size, scale, memory=memory)
    return found


def warm_dtypes(scale: Scale) -> list[Row]:
    """The other dtypes, in arrays of half as many elements."""
    size = 2 ** (scale.log2_size - 1)
    found = []
    for dtype in ("float64", "float16", "bfloat16"):
        memory = comparison.aligned_memory(size, dtype)
        for task in tasks.TASKS:
            found += _compared(_everyone(), task, dtype, size, scale, memory=memory)
    return found


def keras(scale: Scale) -> list[Row]:
    """Keras on another backend, with initfast as the yardstick of the same run."""
    few = [peer for peer in _everyone() if peer.name == "initfast" or peer.module == "keras"]
    memory = comparison.aligned_memory(2**scale.log2_size)
    found = []
    for task in tasks.TASKS:
        found += _compared(few, task, "float32", memory.size, scale, memory=memory)
    return found


def new(scale: Scale) -> list[Row]:
    """float32 in a new array each time: its memory is the system's to give during the fill."""
    found = []
    for task in tasks.TASKS:
        found += _compared(_everyone(), task, "float32", 2**scale.log2_size, scale)
    return found


def new_large(scale: Scale) -> list[Row]:
    """4 GiB of it, beside the fastest way to touch so much memory."""
    few = [peer for peer in _everyone() if peer.name in ("initfast", "memset")]
    found = []
    for task in tasks.TASKS:
        found += _compared(
            few, task, "float32", _largest(scale) // 4, scale._replace(rounds=min(3, scale.rounds))
        )
    return found


def own(scale: Scale) -> list[Row]:
    """initfast against itself: dtypes, backends and threads, ratios of one run."""
    found = []
    size = 2**scale.log2_size
    with ift.threads(1):
        for task in tasks.TASKS:
            memories = {dtype: comparison.aligned_memory(size, dtype) for dtype in tasks.DTYPES}
            jobs = {dtype: Job(task, dtype, size, memories[dtype]) for dtype in tasks.DTYPES}
            fills = {dtype: comparison.prepared(peers.INITFAST, job) for dtype, job in jobs.items()}
            fills |= {
                peer.name: comparison.prepared(peer, jobs["float32"])
                for peer in peers.own()[1:]
                if peer.name != "initfast portable"
            }
            fills |= {
                f"{count} threads": _on(count, fills["float32"])
                for count in {2, ALL}
                if 1 < count <= ALL
            }
            seconds = rounds.interleaved(fills, scale.rounds)
            found += [
                {
                    "task": task.name,
                    "what": name,
                    "speed of float32's": rounds.ratio(seconds, "float32", name),
                }
                for name in fills
                if name != "float32"
            ]
    return found


def flat(scale: Scale) -> list[Row]:
    """What an element costs in larger and larger arrays, up to 2^32 elements where there is memory
    for them.
    """
    init = ift.RandomNormal(0.0, 1.0, seed=1)
    size = 2 ** (scale.log2_largest if scale is FULL else scale.log2_size)
    while 4 * size > machine.memory_bytes("MemAvailable") / 1.25:
        size //= 4
    memory = comparison.aligned_memory(size)
    sizes = [2**number for number in range(min(20, scale.log2_size), size.bit_length(), 2)]
    for number in sizes:  # the end is what a longer array could have got wrong
        init.fill(memory[:number])
        if not np.array_equal(memory[number - 999 : number], init.block((number,), np.s_[-999:])):
            raise ValueError(
                f"an array of {number} elements must end as its last part; it does not"
            )
    seconds = rounds.interleaved(
        {str(number): partial(init.fill, memory[:number]) for number in sizes},
        scale.rounds,
        least=0.02,
    )
    return [
        {"elements": number, "ns/element": rounds.median(seconds, str(number)) / number * 1e9}
        for number in sizes
    ]


def parts(scale: Scale) -> list[Row]:
    """Parts of a logical array, float32 normals."""
    import contenders

    found = []
    for situation in dict.fromkeys(part.situation for part in contenders.PARTS):
        size = 2 ** (scale.log2_size - 3)
        fills = {}
        for part in contenders.PARTS:
            if part.situation == situation and contenders.installed(part.module):
                fills[part.library] = part.prepare(size)
                contenders.check_part(part, fills[part.library](), size)
        seconds = rounds.interleaved(fills, scale.rounds, scale.limit)
        found += [
            {
                "situation": situation,
                "library": name,
                "elements": size,
                "ns/element": rounds.median(seconds, name) / size * 1e9,
                "initfast is faster by": rounds.ratio(seconds, name, "initfast"),
            }
            for name in fills
        ]
    return found


def small(scale: Scale) -> list[Row]:
    """he_normal((n, n))."""
    import contenders

    found = []
    for side in (4, 22, 64, 256):
        fills = {}
        for row in contenders.SMALL:
            if contenders.installed(row.module):
                peers.ready(peers.Peer("", row.module, lambda job: lambda: None))
                fills[row.library] = row.prepare(side)
        seconds = rounds.interleaved(fills, scale.rounds, scale.limit, least=0.02)
        found += [
            {
                "library": name,
                "elements": side * side,
                "microseconds": rounds.median(seconds, name) * 1e6,
                "initfast is faster by": rounds.ratio(seconds, name, "initfast"),
            }
            for name in fills
        ]
    return found


def imports(scale: Scale) -> list[Row]:
    """A process that imports the library and ends."""
    import contenders

    names = ["python", *filter(contenders.installed, contenders.IMPORTS)]
    fills = {
        name: partial(
            subprocess.run, contenders.import_command(name), check=True, capture_output=True
        )
        for name in names
    }
    seconds = rounds.interleaved(fills, scale.rounds, scale.limit)
    return [
        {
            "library": name,
            "seconds": rounds.median(seconds, name),
            "of numpy's": 1 / rounds.ratio(seconds, "numpy", name),
        }
        for name in names
    ]


def peaks(scale: Scale) -> list[Row]:
    """The most memory held while a new float32 array is made, of its bytes."""
    size = 2 ** min(scale.log2_size, 24)
    found = []
    for task in tasks.TASKS:
        able = [
            peer
            for peer in _everyone()
            if peer.random and peer.does(task, "float32", in_place=False)
        ]
        for peer in {
            peer.module: peer for peer in reversed(able)
        }.values():  # generators of one library need the same
            bytes_ = peak.peak_of(peer.name, task.name, "float32", size)
            if bytes_ is not None:
                found.append(
                    {"library": peer.name, "task": task.name, "of its bytes": bytes_ / (4 * size)}
                )
    return found


def sizes(scale: Scale) -> list[Row]:
    """The plot: float32, from 1 KiB on, in place where a library can."""
    largest = _largest(scale)
    memory = comparison.aligned_memory(largest // 4)
    found, slow = [], set()
    for task in (tasks.NORMAL, tasks.TRUNCATED):
        for log2_bytes in range(10, largest.bit_length(), 2):
            size = 2**log2_bytes // 4
            able = [peer for peer in _everyone() if (task.name, peer.name) not in slow]
            count = max(1, scale.rounds - 2) if log2_bytes < 28 else 1
            measured = comparison.compare(
                able,
                task,
                "float32",
                size,
                memory=memory[:size],
                count=count,
                limit=scale.limit / 2,
                least=0.005,
            )
            # Lines end where the next point would take longer than all the others.
            slow |= {
                (task.name, row["library"])
                for row in measured
                if row.get("seconds", 0) * 4 > scale.limit * 2.5
            }
            found += measured
    return found


def _compared(
    able: list[peers.Peer], task: tasks.Task, dtype: str, size: int, scale: Scale, **more: Any
) -> list[Row]:
    found = comparison.compare(
        able, task, dtype, size, count=scale.rounds, limit=scale.limit, **more
    )
    if ift.get_num_threads() == 1 and (cycle := machine.cycle_seconds()):
        for row in found:
            if "seconds" in row:
                row["cycles/element"] = row["seconds"] / size / cycle
    return found


def _everyone() -> list[peers.Peer]:
    import contenders

    return contenders.everyone()


def _on(count: int, fill: rounds.Fill) -> rounds.Fill:
    def run() -> None:
        with ift.threads(count):
            fill()

    return run


SECTIONS = (
    Section("float32, 1 thread", 1, warm),
    *((Section(f"float32, {ALL} threads", ALL, warm),) if ALL > 1 else ()),
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
    Section("peak memory", ALL, peaks),
    Section("sizes", ALL, sizes),
)


def in_process(section: Section, scale: Scale) -> list[Row]:
    """Measure one section here: this process is confined to its cores before any engine is
    imported.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-section.threads :])
    with peers.using_threads(section.threads):
        return section.measure(scale)


def run(section: Section, scale: Scale) -> list[Row] | None:
    """Measure one section in a process of its own; None, and a line on stderr, if that failed."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": section.keras,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": str(section.threads),
        "INITFAST_NUM_THREADS": str(ALL),
    }
    arguments = ["--in-process", section.name, *(["--quick"] if scale is QUICK else [])]
    told = subprocess.run(
        [sys.executable, __file__, *arguments], env=environment, capture_output=True, text=True
    )
    if told.returncode:
        print(f"{section.name} failed:\n{told.stderr[-2000:]}", file=sys.stderr)
        return None
    rows: list[Row] = json.loads(told.stdout.splitlines()[-1])
    return rows


def _rounded(value: Any) -> Any:
    """Four digits of a float: what is stored is read by people too, and no figure is better than
    that.
    """
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value


def main() -> int:
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"one of: {'; '.join(names)} (default: all)"
    )
    parser.add_argument(
        "--missing", action="store_true", help="only the sections that the results do not have yet"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small arrays, to see that it works; writes no file"
    )
    parser.add_argument(
        "--machine", default=machine.slug(), help="the results' file name (default: %(default)s)"
    )
    parser.add_argument(
        "--no-readme", action="store_true", help="leave README.md and the plot as they are"
    )
    parser.add_argument("--in-process", metavar="SECTION", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    if arguments.in_process:
        section = next(section for section in SECTIONS if section.name == arguments.in_process)
        print(json.dumps(_rounded(in_process(section, scale))))
        return 0
    if unknown := sorted(set(arguments.sections) - set(names)):
        parser.error(
            f"SECTION must be one of {', '.join(map(repr, names))}; received {unknown[0]!r}"
        )
    target = RESULTS / f"{arguments.machine}.json"
    stored: dict[str, Any] = {"sections": {}}
    if target.exists() and not arguments.quick:
        stored = json.loads(target.read_text(encoding="utf-8"))
    failed = 0
    for section in SECTIONS:
        if arguments.sections and section.name not in arguments.sections:
            continue
        if arguments.missing and section.name in stored["sections"]:
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
        stored["machine"] = machine.describe()
        stored["sections"][section.name] = {
            "date": str(datetime.date.today()),
            "seconds": round(took, 1),
            "threads": section.threads,
            "scale": scale._asdict(),
            "rows": rows,
        }
        if not arguments.quick:
            RESULTS.mkdir(exist_ok=True)
            target.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    import report

    if arguments.quick:
        print(report.text(stored))
    elif not arguments.no_readme:
        report.write(stored)
    print(report.targets(stored))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
