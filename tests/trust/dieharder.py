"""The raw words through dieharder 3.31 (a Debian package): one stream, many streams and many seeds
taken word by word.

Each feed is one process, `python -m initfast bits`, and the tests read on from where the one before
stopped, so that no two tests see the same words. dieharder calls a p-value weak below 0.005 or
above 0.995, which 1 in 100 is by chance, and failed below 1e-6; what is weak is run again on fresh
words until it is clearly one or the other (`-Y 1 -k 2`), as its manual advises. A test battery that
could not fail would show nothing: words of 32 bits with one bit stuck are fed to it as well, and
must fail.

`python tests/trust/dieharder.py --all` feeds all of `dieharder -a` instead: some hours.
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
# (number, -n): all of `dieharder -l` that it calls good, with five of the 33 lags of 203.
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


class Found(NamedTuple):
    """One p-value of dieharder, and what it says of it: PASSED, WEAK or FAILED."""

    test: str
    p: float
    verdict: str


def feed(*arguments: str) -> subprocess.Popen[bytes]:
    """A process that writes words to its stdout until nobody reads them."""
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def ask(words: subprocess.Popen[bytes], *options: str) -> list[Found]:
    """What one run of dieharder has to say of the words that come next."""
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
    done = subprocess.run(
        [*command, *options], stdin=words.stdout, capture_output=True, text=True, check=True
    )
    rows = [
        [field.strip() for field in line.split(",")]
        for line in done.stdout.splitlines()
        if line.count(",") == 3
    ]
    return [
        Found(f"{name} {n}", float(p), verdict)
        for name, n, p, verdict in rows
        if verdict != "Assessment"
    ]


def end(words: subprocess.Popen[bytes]) -> None:
    """Close the pipe; the feeder then ends by itself."""
    assert words.stdout is not None
    words.stdout.close()
    words.wait(60)


def battery(name: str, tests: list[tuple[int, int | None]]) -> Row:
    """The row of one feed."""
    start, found, again = time.perf_counter(), [], []
    words = feed("-m", "initfast", "bits", *FEEDS[name])
    for number, n in tests:
        options = ["-d", str(number), *(["-n", str(n)] if n is not None else [])]
        made = ask(words, *options)
        found += made
        if any(row.verdict == "WEAK" for row in made):
            again += ask(words, *options, "-Y", "1", "-k", "2")
    end(words)
    failed = [row for row in [*found, *again] if row.verdict == "FAILED"]
    weak = [row for row in found if row.verdict == "WEAK"]
    # A test has up to 30 p-values, and running it again draws all of them anew: one that was weak
    # is to pass now, and another may be weak in its place, which is said.
    weak_again = [row for row in again if row.verdict != "PASSED"]
    unresolved = {row.test for row in weak} & {row.test for row in weak_again}
    low, high = min(row.p for row in found), max(row.p for row in found)
    text = (
        f"{len(found)} p-values from {low:.4f} to {high:.4f}; {len(weak)} weak,"
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
        bool(found) and not failed and not unresolved,
    )


def stuck_bit() -> Row:
    """What the same tests say of words with bit 5 always set."""
    words = feed("-c", STUCK_BIT)
    found = [
        row
        for number in (100, 8, 200)
        for row in ask(words, "-d", str(number), *(["-n", "4"] * (number == 200)))
    ]
    end(words)
    failed = sum(row.verdict == "FAILED" for row in found)
    return Row(
        "dieharder, the same words with bit 5 stuck",
        "fails",
        f"{failed} of {len(found)} p-values failed",
        failed > 0,
    )


def run(quick: bool) -> list[Row]:
    """The feeds, two at a time, and the proof that the tests can fail."""
    tests = QUICK if quick else TESTS
    with ThreadPoolExecutor(2) as pool:
        return [*pool.map(lambda name: battery(name, tests), FEEDS), stuck_bit()]


def main() -> int:
    """`dieharder -a` on each feed, as it prints it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--all", action="store_true", help="all tests of dieharder, on each feed in turn: hours"
    )
    if not parser.parse_args().all:
        parser.error(
            "--all is what it does alone; the chosen tests are `python "
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
