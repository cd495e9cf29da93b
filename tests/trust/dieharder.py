"""Test the raw words with dieharder 3.31 (a Debian package): one stream, and many streams or seeds
interleaved word by word.

Each feed is one process, `python -m initfast bits`. Each test continues where the previous one
stopped reading, so no two tests read the same words. dieharder calls a p-value weak if it is below
0.005 or above 0.995, as 1 in 100 is by chance, and failed below 1e-6. Weak tests run again on new
words until the result is clear (`-Y 1 -k 2`), as its manual advises. To show that the battery can
fail, words with one stuck bit are tested too; they must fail.

`python tests/trust/dieharder.py --all` runs all of `dieharder -a` instead, for some hours.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from rows import Row

SEED = 20261122
STREAMS = 256
FEEDS = {
    "one stream": ["--seed", str(SEED)],
    f"{STREAMS} streams, interleaved": ["--seed", str(SEED), "--interleave", str(STREAMS)],
    f"{STREAMS} seeds, interleaved": ["--seed", str(SEED), "--interleave-seeds", str(STREAMS)],
}
# (number, -n): all tests that `dieharder -l` calls good, with five of the 33 lags of 203.
TESTS = [
    *(
        (number, None)
        for number in (0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 15, 16, 17, 100, 101, 102)
    ),
    *((200, n) for n in range(1, 13)),
    *((201, n) for n in (2, 3, 4, 5)),
    *((202, n) for n in (2, 3, 4, 5)),
    *((203, n) for n in (0, 1, 3, 7, 15)),
    *((number, None) for number in (204, 205, 206, 207, 208, 209)),
]
QUICK = [(0, None), (2, None), (15, None), (100, None), (206, None)]
STUCK_BIT = (
    "import sys, initfast as ift\n"
    "while True: sys.stdout.buffer.write((ift.random_bits(2**18, 1) | 32).tobytes())"
)


class Result(NamedTuple):
    """A p-value of dieharder with its verdict: PASSED, WEAK or FAILED."""

    test: str
    p: float
    verdict: str


def feed(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that writes words to its stdout until the pipe closes."""
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def ask(words: subprocess.Popen[bytes], *options: str) -> list[Result]:
    """Run dieharder on the next words, and return its results."""
    command = [
        "dieharder",
        "-g",
        "200",
        "-c",
        ",",
        "-D",
        "test_name",
        "-D",
        "ntuple",
        "-D",
        "pvalues",
        "-D",
        "assessment",
    ]
    process = subprocess.run(
        [*command, *options], stdin=words.stdout, capture_output=True, text=True, check=True
    )
    rows = [
        [field.strip() for field in line.split(",")]
        for line in process.stdout.splitlines()
        if line.count(",") == 3
    ]
    return [
        Result(f"{name} {n}", float(p), verdict)
        for name, n, p, verdict in rows
        if verdict != "Assessment"
    ]


def end(words: subprocess.Popen[bytes]) -> None:
    """Close the pipe, and wait until the process ends."""
    assert words.stdout is not None
    words.stdout.close()
    words.wait(60)


def battery(name: str, tests: list[tuple[int, int | None]]) -> Row:
    """Return the row of one feed."""
    start, results, again = time.perf_counter(), [], []
    words = feed("-m", "initfast", "bits", *FEEDS[name])
    for number, n in tests:
        options = ["-d", str(number), *(["-n", str(n)] if n is not None else [])]
        new = ask(words, *options)
        results += new
        if any(row.verdict == "WEAK" for row in new):
            again += ask(words, *options, "-Y", "1", "-k", "2")
    end(words)
    failed = [row for row in [*results, *again] if row.verdict == "FAILED"]
    weak = [row for row in results if row.verdict == "WEAK"]
    # A test has up to 30 p-values, and a second run draws all of them again: a weak one must pass
    # now, and the row lists others that are weak in the second run.
    weak_again = [row for row in again if row.verdict != "PASSED"]
    unresolved = {row.test for row in weak} & {row.test for row in weak_again}
    low, high = min(row.p for row in results), max(row.p for row in results)
    text = (
        f"{len(results)} p-values from {low:.4f} to {high:.4f}; {len(weak)} weak,"
        f" {len(failed)} failed"
    )
    if weak:
        after = "still weak: " + ", ".join(sorted(unresolved)) if unresolved else "they pass"
        after += "".join(
            f", {row.test} {row.p:.4f} is weak" for row in weak_again if row.test not in unresolved
        )
        text += f" ({', '.join(f'{row.test} {row.p:.4f}' for row in weak)}; run again: {after})"
    seconds = time.perf_counter() - start
    goal = "none failed; what is weak passes when run again"
    print(f"  {name}: {text}, {seconds:.0f} s", flush=True)
    return Row(
        f"dieharder, {len(tests)} tests, {name}",
        goal,
        text,
        bool(results) and not failed and not unresolved,
    )


def stuck_bit() -> Row:
    """Return the row of the same tests on words with bit 5 always set."""
    words = feed("-c", STUCK_BIT)
    results = [
        row
        for number in (100, 8, 200)
        for row in ask(words, "-d", str(number), *(["-n", "4"] * (number == 200)))
    ]
    end(words)
    failed = sum(row.verdict == "FAILED" for row in results)
    return Row(
        "dieharder, the same words with bit 5 stuck",
        "fails",
        f"{failed} of {len(results)} p-values failed",
        failed > 0,
    )


def run(quick: bool) -> list[Row]:
    """Return the rows of all feeds, two at a time, and the proof that the tests can fail."""
    tests = QUICK if quick else TESTS
    with ThreadPoolExecutor(2) as pool:
        return [*pool.map(lambda name: battery(name, tests), FEEDS), stuck_bit()]


def main() -> int:
    """Run `dieharder -a` on each feed and show its output."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--all",
        action="store_true",
        help="run all tests of dieharder on each feed in turn, for hours",
    )
    if not parser.parse_args().all:
        parser.error(
            "--all is required; for the selected tests run `python "
            "tests/trust/evidence.py dieharder`"
        )
    for name, arguments in FEEDS.items():
        print(
            f"{name}: initfast bits {' '.join(arguments)} | dieharder -g 200 -a -Y 1 -k 2",
            flush=True,
        )
        words = feed("-m", "initfast", "bits", *arguments)
        subprocess.run(
            ["dieharder", "-g", "200", "-a", "-Y", "1", "-k", "2"], stdin=words.stdout, check=True
        )
        end(words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
