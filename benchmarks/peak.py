"""Measure the peak memory while a library makes a new array.

Each library runs in a separate process. The peak is VmHWM in /proc/self/status, reset before the
fill, minus the memory used before.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path


def peak_of(library: str, task: str, dtype: str, size: int) -> int | None:
    """Return the bytes, or None if the library cannot do it or the system does not show them."""
    result = subprocess.run(
        [sys.executable, __file__, library, task, dtype, str(size)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return (
        json.loads(result.stdout.splitlines()[-1])
        if result.returncode == 0 and result.stdout
        else None
    )


def _status(row: str) -> int:
    match = re.search(rf"^{row}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return 1024 * int(match[1]) if match else 0


def main() -> None:
    import rivals

    from initfast.cli._race import TASKS, Job

    name, task_name, dtype, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    library = next(library for library in rivals.everyone() if library.name == name)
    task = next(task for task in TASKS if task.name == task_name)
    rivals.load(library.module)
    library.prepare(Job(task, dtype, 1000))()  # exclude the memory of the first call
    fill = library.prepare(Job(task, dtype, size))
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, proc(5)
    before = _status("VmRSS")
    result = fill()
    print(json.dumps(_status("VmHWM") - before))
    del result


if __name__ == "__main__":
    main()
