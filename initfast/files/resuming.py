"""Where a write begins: what stands in its way, and how far an unfinished one has come, by the
sidecars.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from initfast.files import journal, targets
from initfast.files.journal import DamagedError, Journal, State
from initfast.files.plans import Plan

_AGAIN = "--force starts again"


def check_others(plan: Plan) -> bool:
    """Refuse sidecars of workers that are not of this job; return whether one of this job says that
    all is in place.
    """
    placed = False
    for (k, n), path in journal.others(plan.base, plan.worker):
        if n != plan.worker[1] or not 1 <= k <= n:
            raise FileExistsError(
                f"workers must be those of the sidecar {os.fspath(path)!r}, {n} in all;"
                f" received worker {plan.worker[0]} of {plan.worker[1]} (delete it to start again)"
            )
        with contextlib.suppress(FileNotFoundError):  # its worker has just finished
            state = journal.read(path)
            if state is not None:
                check_same(plan, k, path, state)
                placed = placed or state.placed
    return placed


def check_same(plan: Plan, k: int, path: Path, state: State) -> None:
    """Raise OSError if the sidecar of worker k is that of another write, with the first thing that
    differs.
    """
    found, mine = _flat(state.header), _flat(plan.header(k))
    for key in dict.fromkeys((*mine, *found)):
        if found.get(key) != mine.get(key):
            cure = _AGAIN if k == plan.worker[0] else "delete it to start again"
            raise OSError(
                f"an unfinished write must be continued with what it began with, {key} {_short(found.get(key))};"
                f" received {_short(mine.get(key))} (sidecar {os.fspath(path)!r}; {cure})"
            )


def refuse_what_is_there(plan: Plan, sidecar: Path) -> None:
    """Raise FileExistsError for what stands in the way of beginning without a sidecar, and without
    `force`.
    """
    for whole in plan.wholes():
        targets.refuse_existing(whole.path)
    for file in plan.files:
        path = targets.partial(file.path)
        # A sidecar comes before its partial, so it is looked for after.
        if (
            os.path.lexists(path)
            and not os.path.lexists(sidecar)
            and not journal.others(plan.base, plan.worker)
        ):
            raise FileExistsError(
                f"an unfinished file must have a sidecar; received {os.fspath(path)!r} without one ({_AGAIN})"
            )


def take_up(plan: Plan, held: Journal, *, resume: bool, force: bool) -> State:
    """Where to go on, by the sidecar; where there is nothing to go on from, at 0, and the sidecar
    says so.
    """
    try:
        state = held.state()
    except DamagedError as error:
        if not error.ours or resume or not force:
            raise
        return _begin(plan, held)
    if state is None:
        if not force:
            try:
                for whole in plan.wholes():
                    targets.refuse_existing(whole.path)
            except FileExistsError:
                # it says nothing: it is our own, or of one who was killed before anything was
                # written
                held.remove()
                raise
        return _begin(plan, held)
    if not resume:
        if not force:
            raise FileExistsError(
                f"an unfinished write is there: --resume continues it, {_AGAIN}; received {os.fspath(held.path)!r}"
            )
        return _begin(plan, held)
    check_same(plan, plan.worker[0], held.path, state)
    if state.done > plan.length or (
        state.finishing and not state.placed and state.done not in (0, plan.length)
    ):
        raise DamagedError(held.path, f"{state.done} bytes of a span of {plan.length}", ours=True)
    if not state.finishing:
        if not force:
            for whole in plan.wholes():
                targets.refuse_existing(whole.path)
        _check_partials(plan, held, state.done)
    return state


def _begin(plan: Plan, held: Journal) -> State:
    header = plan.header(plan.worker[0])
    held.begin(header)
    return State(header)


def _check_partials(plan: Plan, held: Journal, done: int) -> None:
    """Raise OSError where bytes should be written, and the file for them is not there, or not of
    its size.
    """
    for share in plan.shares():
        if done <= 0:
            return
        done -= share.last - share.first
        path = targets.partial(share.file.path)
        size = path.stat().st_size if path.is_file() and not path.is_symlink() else None
        if size != share.file.size:
            raise OSError(
                f"the partial {os.fspath(path)!r} must have {share.file.size:,} bytes, by the sidecar"
                f" {os.fspath(held.path)!r}; received {'no file' if size is None else f'{size:,}'} ({_AGAIN})"
            )


def _flat(header: Any) -> dict[str, str]:
    """Line 1 as text, what the job says of itself first."""
    rest = {key: value for key, value in header.items() if key != "identity"}
    return {key: json.dumps(value) for key, value in {**header["identity"], **rest}.items()}


def _short(text: str | None) -> str:
    text = "nothing" if text is None else text
    return text if len(text) <= 200 else f"{text[:197]}..."
