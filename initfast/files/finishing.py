"""The end of a write: once all workers have finished, the files take their final names and the
sidecars go.

Each step can be the last before a kill, and several workers can come here at once: whoever comes
next goes on. The
order is what makes that safe: sidecars say `finishing` before anything is renamed, all of them say
`placed` before the first is deleted, and both only under the locks of all."""

from __future__ import annotations

import contextlib
import os
import time

from initfast.files import journal, targets
from initfast.files.journal import Journal, State
from initfast.files.plans import Plan
from initfast.files.resuming import check_same

RETRY_SECONDS = 0.01


def finish(plan: Plan, *, force: bool) -> bool:
    """Put all files in place if all workers have finished; return whether they are.

    The caller's worker has finished, and its sidecar is not locked.

    Raises:
        FileExistsError: a file has one of the names, and `force` is False.
        OSError: what was written is not there any more.
    """
    n = plan.worker[1]
    names = [journal.name(plan.base, (k, n)) for k in range(1, n + 1)]
    while True:
        states: list[State | None] = []
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                states.append(journal.read(name))
        placed = any(state is not None and state.placed for state in states)
        if not placed and not os.path.lexists(names[plan.worker[0] - 1]):
            _check_placed(plan)  # another worker has finished, and deleted ours
            return True
        if not placed and (
            len(states) < n or not all(state is not None and state.finishing for state in states)
        ):
            return False
        try:
            with contextlib.ExitStack() as stack:
                held = []
                for name in names:
                    # Once all is in place, the first of them may be gone.
                    with contextlib.suppress(*([FileNotFoundError] if placed else [])):
                        held.append(stack.enter_context(journal.lock(name, create=False)))
                if placed:
                    _check_placed(plan)
                elif not _place(plan, held, force=force):
                    continue
                _say_placed(plan, held)
                for one in held:
                    one.remove()
                return True
        except (BlockingIOError, FileNotFoundError) as error:
            if error.filename is not None and os.fspath(error.filename) not in map(
                os.fspath, names
            ):
                raise
            time.sleep(RETRY_SECONDS)  # another worker is here too, or starts again: look anew


def _place(plan: Plan, held: list[Journal], *, force: bool) -> bool:
    """Rename the files, and let that reach the disk; False if a worker has started again before it
    was locked.
    """
    for k, one in enumerate(held, 1):
        state = one.state()
        if state is None or not state.finishing or state.placed:
            return False
        check_same(plan, k, one.path, state)
    for file in plan.files:
        targets.place(file.path, file.header, file.size, force=force)
    for path, text in plan.notes:
        targets.place_note(path, text, force=force)
    targets.sync_folders([plan.base.parent, *(whole.path.parent for whole in plan.wholes())])
    return True


def _say_placed(plan: Plan, held: list[Journal]) -> None:
    """Let all sidecars say so before the first is deleted: the others could not be told from those
    of a new write.
    """
    for one in held:
        state = one.state()
        if not plan.alone and state is not None and not state.placed:
            one.placed()


def _check_placed(plan: Plan) -> None:
    for path, header, size in plan.wholes():
        if not targets.is_whole(path, header, size):
            raise OSError(
                f"the file {os.fspath(path)!r} must have been put in place; received another, or none"
            )
