"""The most memory that a process holds while a library makes one new array: `python
benchmarks/peak.py LIBRARY ...`.

Each in a process of its own; VmHWM of /proc/self/status, set back before the fill, less what was
held before."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path


def peak_of(library: str, task: str, dtype: str, size: int) -> int | None:
    """Bytes, or None where the library cannot or the system does not tell."""
    told = subprocess.run(
        [sys.executable, __file__, library, task, dtype, str(size)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return (
        json.loads(told.stdout.splitlines()[-1]) if told.returncode == 0 and told.stdout else None
    )


def _status(row: str) -> int:
    found = re.search(rf"^{row}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def main() -> None:
    from contenders import everyone

    from initfast.bench import peers, tasks
    from initfast.bench.fills import Job

    name, task_name, dtype, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    peer = next(peer for peer in everyone() if peer.name == name)
    task = next(task for task in tasks.TASKS if task.name == task_name)
    peers.ready(peer)
    peer.prepare(Job(task, dtype, 1000))()  # what the first call of all needs is not the fill's
    fill = peer.prepare(Job(task, dtype, size))
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew, proc(5)
    before = _status("VmRSS")
    result = fill()
    print(json.dumps(_status("VmHWM") - before))
    del result


if __name__ == "__main__":
    main()
