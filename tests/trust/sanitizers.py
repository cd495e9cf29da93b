"""Run the C code under AddressSanitizer, UndefinedBehaviorSanitizer, ThreadSanitizer and valgrind.

The extension is built with ASan and UBSan in a temporary copy of the tree, and the tests that use a
kernel run on it. Every report ends the process, so a run that passes has no report. Each tool must
first find the faults of a program made for it. This needs clang with its runtimes (Debian: clang,
libclang-rt-dev), and valgrind."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from rows import HERE, ROOT, Row

FLAGS = [
    "-std=c11",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fPIC",
    "-pthread",
    "-g1",
    "-fno-omit-frame-pointer",
]
# Checks as calls: inlined in the unrolled kernels, they would take an hour to compile.
OUTLINED = ["-mllvm", "-asan-instrumentation-with-call-threshold=0"]
MEMORY = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", *OUTLINED]
THREADS = ["-O1", "-fsanitize=thread"]
# Test files that are left out: they load an engine that is not built with sanitizers, check only
# texts or other programs, or need fills of gigabytes or a limit on memory (hostile_hosts; Ctrl-C),
# which take hours or fail under sanitizers.
ELSEWHERE = (
    "torch/*",
    "keras/*",
    "jax/*",
    "trust/*",
    "*/test_bench*",
    "*/test_plots.py",
    "core/test_neon.py",
    "core/test_hostile_hosts.py",
    *(
        f"test_{name}.py"
        for name in ("dask", "recipes", "readme", "documentation", "layers", "benchmarks")
    ),
)
FOUND = 99  # the exit status of the tools after a report


def compile_all(
    folder: Path, flags: list[str], sources: Iterable[Path], compiler: str = "clang"
) -> list[str]:
    """Compile `sources`, two at a time, and return the objects.

    INITFAST_TRUST_OBJECTS can name a folder that keeps them for later runs."""
    folder = Path(os.environ.get("INITFAST_TRUST_OBJECTS", folder))
    folder.mkdir(parents=True, exist_ok=True)
    headers = b"".join(path.read_bytes() for path in sorted((ROOT / "src").glob("*.h")))

    def one(source: Path) -> str:
        # The portable kernels are unrolled: with all checks the optimiser would take minutes.
        slow = (
            ["-O0"]
            if source.stem == "backend_portable" and "-fsanitize=address,undefined" in flags
            else []
        )
        command = [compiler, *FLAGS, *flags, *slow, f"-I{ROOT / 'src'}"]
        digest = hashlib.sha256(repr(command).encode() + headers + source.read_bytes()).hexdigest()[
            :16
        ]
        target = folder / f"{source.stem}-{digest}.o"
        if not target.exists():
            unfinished = target.with_suffix(".part")
            subprocess.run([*command, "-c", source, "-o", unfinished], check=True)
            unfinished.replace(target)
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, sorted(sources)))


def link(target: Path, objects: list[str], flags: list[str], compiler: str = "clang") -> Path:
    subprocess.run([compiler, *flags, *objects, "-pthread", "-lm", "-o", target], check=True)
    return target


def kernels() -> list[Path]:
    """Return the C files of the extension."""
    return sorted((ROOT / "src").glob("*.c"))


def run_program(command: list[str], cwd: Path | None = None, **environment: str) -> tuple[int, str]:
    """Run a program, and return its exit status and its output on both channels."""
    variables = {**os.environ, **environment}
    process = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=variables
    )
    return process.returncode, process.stdout


# A program with the fault that its argument names, for each tool.
FAULTY = """
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
static int *shared;
static void *add(void *x) { for (int i = 0; i < 10000; i++) ++*shared; return x; }
int main(int argc, char **argv) {
    (void)argc;
    shared = malloc(4);
    if (!strcmp(argv[1], "write past the end")) ((volatile char *)shared)[4] = 1;
    if (!strcmp(argv[1], "read what was never written")) { if (*(volatile int *)shared) return 1; }
    *shared = 0x7fffffff;
    if (!strcmp(argv[1], "overflow")) ++*shared;
    if (!strcmp(argv[1], "race")) {
        pthread_t t;
        pthread_create(&t, 0, add, 0);
        add(0);
        pthread_join(t, 0);
    }
    free(shared);
    return 0;
}
"""


def faulty(folder: Path, flags: list[str]) -> Path:
    """Compile the program with faults."""
    source = folder / "faulty.c"
    folder.mkdir(parents=True, exist_ok=True)
    source.write_text(FAULTY)
    return link(folder / "faulty", [str(source)], [*flags, "-w"])


def finds(
    folder: Path, flags: list[str], faults: list[str], before: list[str], **environment: str
) -> Row:
    """Return the row that shows that a tool finds faults, and none in a program without faults."""
    program = str(faulty(folder, flags))
    statuses = {
        fault: run_program([*before, program, fault], **environment)[0]
        for fault in [*faults, "none"]
    }
    good = statuses.pop("none") == 0 and all(status != 0 for status in statuses.values())
    name = "valgrind" if before else flags[1].removeprefix("-fsanitize=")
    faults_reported = [fault for fault, status in statuses.items() if status]
    return Row(
        f"{name}: a program with a fault", "found", "; ".join(faults_reported) or "none found", good
    )


def suite(folder: Path, quick: bool) -> Row:
    """Run the tests that use a kernel on an extension with ASan and UBSan; return the row."""
    tree = folder / "tree"
    ignore = shutil.ignore_patterns("*.so", "__pycache__", "build", ".*", "*.egg-info")
    for name in ("initfast", "src", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tree)
    binding = folder / "_kernels.c"
    subprocess.run(
        [sys.executable, "-m", "cython", "-3", tree / "initfast/_kernels.pyx", "-o", binding],
        check=True,
    )
    headers = [f"-I{sysconfig.get_path('include')}", "-DPy_LIMITED_API=0x030B0000"]
    objects = compile_all(folder / "extension", [*MEMORY, *headers], [*kernels(), binding])
    shared = ["-shared", "-fsanitize=address,undefined", "-shared-libasan"]
    link(tree / "initfast/_kernels.abi3.so", objects, shared)
    runtime = subprocess.run(
        ["clang", "-print-file-name=libclang_rt.asan-x86_64.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    environment = {
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_segv=0"
        f":exitcode={FOUND}",
        "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:exitcode={FOUND}",
        "PYTHONMALLOC": "malloc",  # Python's allocator would hide the ends of small objects
        "PYTHONPATH": str(tree),
        "INITFAST_PROPERTY_CASES": "1000" if quick else "3000",
    }
    probe = "import initfast._kernels as k; print(k.__file__)"
    where = run_program([sys.executable, "-P", "-c", probe], **environment)[1].strip()
    assert where == str(tree / "initfast/_kernels.abi3.so"), where
    tests = tree / "tests"
    names = sorted(str(path.relative_to(tests)) for path in tests.rglob("test_*.py"))
    names = [name for name in names if not any(fnmatch(name, pattern) for pattern in ELSEWHERE)]
    names = ["core/test_guard_bytes.py", "core/test_bounds.py"] if quick else names
    # Sanitizers use more memory than the limits in the tests allow, and Ctrl-C needs a long fill.
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n0",
        "-m",
        "",  # both tiers
        "-k",
        "not ctrl_c and not memory_does_not",
    ]

    def one(name: str) -> tuple[int, str]:
        return run_program([*pytest, f"tests/{name}"], cwd=tree, **environment)

    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(names, pool.map(one, names), strict=True))
    output = "".join(each for _, each in results.values())
    passed = sum(int(count) for count in re.findall(r"(\d+) passed.* in [0-9.]+s", output))
    reports = len(re.findall(r"ERROR: AddressSanitizer|runtime error:", output))
    failed = [name for name, (status, _) in results.items() if status]
    for name in failed:
        print(f"{name}:\n{results[name][1][-3000:]}", flush=True)
    text = f"{passed:,} tests of {len(names)} files passed, {reports} reports" + "".join(
        f", {name} failed" for name in failed
    )
    what = f"ASan + UBSan build of the extension under the suite, without {', '.join(ELSEWHERE)}"
    return Row(what, "no report, all pass", text, not failed and not reports)


def races(folder: Path, quick: bool) -> Row:
    """Run TSan on threads.c with callers on several threads; return the row."""
    objects = compile_all(folder / "tsan", THREADS, [*kernels(), HERE / "threads_stress.c"])
    program = link(folder / "threads_stress", objects, THREADS)
    status, output = run_program(
        [str(program), "2" if quick else "20"], TSAN_OPTIONS=f"exitcode={FOUND}"
    )
    text = (
        output.strip().splitlines()[-1] if status == 0 else f"exit status {status}: {output[:300]}"
    )
    return Row(
        "TSan: callers on threads of their own, fills on threads of theirs, some stopped",
        "no race",
        text,
        status == 0,
    )


def memcheck(folder: Path, quick: bool) -> Row:
    """Run valgrind on requests of fuzz_fill.c, up to AVX2, which it supports; return the row."""
    flags = ["-O1", "-DSTANDALONE"]
    objects = compile_all(folder / "plain", flags, [*kernels(), HERE / "fuzz_fill.c"], "gcc")
    program = link(folder / "fuzz_fill", objects, [], "gcc")
    cases = 200 if quick else 3000
    valgrind = [
        "valgrind",
        "-q",
        f"--error-exitcode={FOUND}",
        "--leak-check=full",
        "--fair-sched=yes",
    ]
    status, output = run_program([*valgrind, str(program), str(cases), "5"])
    text = f"{cases:,} fill requests, AVX2 and portable: " + (
        "no report" if status == 0 else output[:300]
    )
    return Row(
        "valgrind memcheck with leak check",
        "no report",
        text,
        status == 0 and f"{cases} cases" in output,
    )


def run(quick: bool) -> list[Row]:
    """Return two rows per tool: it finds known faults, and it finds none in the C code."""
    rows = []
    folder = Path(tempfile.mkdtemp(prefix="initfast-sanitizers-"))
    steps = {
        "asan finds": lambda: finds(folder / "fa", MEMORY, ["write past the end", "overflow"], []),
        "suite": lambda: suite(folder, quick),
        "tsan finds": lambda: finds(folder / "ft", THREADS, ["race"], []),
        "races": lambda: races(folder, quick),
        "valgrind finds": lambda: finds(
            folder / "fv",
            ["-O0", "-g"],
            ["write past the end", "read what was never written"],
            ["valgrind", "-q", f"--error-exitcode={FOUND}"],
        ),
        "memcheck": lambda: memcheck(folder, quick),
    }
    try:
        for name, step in steps.items():
            start = time.perf_counter()
            rows.append(step())
            print(
                f"  {name}: {rows[-1].measured} ({time.perf_counter() - start:.0f} s)", flush=True
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows
