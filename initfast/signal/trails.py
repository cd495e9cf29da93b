"""What ran in a real model, as lines of a report: which normalisation and activation belongs to
which layer, and where a branch joins the stream that it came from.

An activation belongs to the layer whose output it was given, the very same tensor, or that tensor
reshaped, pooled or dropped out; so does a normalisation between the two. What comes through
anything else, such as a sum, belongs to none, and the layer is not judged as a link of a chain."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from initfast.signal.activations import ACTIVATIONS, Activation
from initfast.signal.layers import Block, LayerReport
from initfast.signal.measures import Moments, measure

__all__ = ["Line", "Trail"]

Floats = npt.NDArray[np.floating[Any]]


@dataclass(eq=False)
class Line:
    """A layer of a model: its line so far, the tensor that it gives now, and who it is."""

    report: LayerReport
    output: Any
    owner: Any
    before: Moments | None
    steps: int = 1  # tensors that it has given: its own, the normalised one, the activations
    activated: bool = False
    norm: bool = False  # what it gives is normalised
    parts: list[Any] = field(default_factory=list)  # layers that only normalise or scale it
    # What it was before each step: report, output, number of steps.
    history: list[tuple[LayerReport, Any, int]] = field(default_factory=list)


class Trail:
    """The layers of one run, in order."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.blocks: list[Block] = []
        self._calls: dict[str, int] = {}
        # By identity of a tensor, with the tensor itself, so that no other gets its place.
        self._origins: dict[int, tuple[Any, Line]] = {}

    def layer(
        self,
        owner: Any,
        name: str,
        fans: tuple[int, int] | None,
        before: Moments | None,
        output: Any,
        values: Floats,
        *,
        given: Any = None,
        norm: bool = False,
    ) -> Line:
        """A layer has given `output` for `given`; `values` are (samples, units) of the output. A
        later call has '#2' after its name.
        """
        source = self.origin(given)
        if source is not None:
            source.report = dataclasses.replace(source.report, followed=True)
        with np.errstate(all="ignore"):
            report = measure(
                self._numbered(name), ACTIVATIONS["linear"], fans, before, values, values
            )
        report = dataclasses.replace(
            report,
            kind=type(owner).__name__,
            normalised=source is not None and source.norm,
            followed=False,
        )
        self.lines.append(Line(report, output, owner, before, norm=norm))
        self._note(output, self.lines[-1])
        return self.lines[-1]

    def origin(self, given: Any) -> Line | None:
        """Return the layer that gave this very tensor, with or without its activation."""
        found = self._origins.get(id(given))
        return None if found is None else found[1]

    def source(self, given: Any) -> Line | None:
        """Return the layer that gave this very tensor and has no activation yet."""
        found = self.origin(given)
        return None if found is None or found.activated else found

    def passed(self, given: Any, output: Any) -> None:
        """What a layer gave has changed its form, no more."""
        if (line := self.origin(given)) is not None and output is not given:
            self._note(output, line)

    def normalised(self, line: Line, output: Any, values: Floats, *, norm: bool = True) -> None:
        """What a layer gave has been normalised: these are its net inputs. Not `norm`: only
        scaled."""
        self._replace(line, ACTIVATIONS["linear"], output, values, values)
        if norm:
            line.norm = True
            line.report = dataclasses.replace(line.report, normalised=True)

    def activated(
        self, line: Line, activation: Activation | str, output: Any, net: Floats, values: Floats
    ) -> None:
        """What a layer gave has become activations."""
        self._replace(line, activation, output, net, values)
        line.activated = True
        line.norm = False

    def joined(self, name: str, before: float, branch: float, after: float) -> int:
        """A branch has been added to the stream that it came from; returns the sum's number."""
        number = self._calls[f"{name} +"] = self._calls.get(f"{name} +", 0) + 1
        shown = name if number == 1 else f"{name}#{number}"
        self.blocks.append(Block(shown, before, branch, after))
        return len(self.blocks) - 1

    def forked(self, stream: Any) -> None:
        """A tensor continues as a stream: a normalisation or activation of it belongs to the
        branch, and not to the layer whose output it is."""
        line = self.origin(stream)
        if line is None:
            return
        for report, output, steps in line.history:
            if output is stream:
                line.report = dataclasses.replace(report, followed=False, block=line.report.block)
                line.output, line.steps = output, steps
                line.activated, line.norm = True, False
                return

    def belongs(self, line: Line, block: int | None, *, silent: bool = False) -> None:
        """A layer is part of a branch, which may be 0 at first."""
        old = line.report
        line.report = dataclasses.replace(
            old,
            block=block if old.block is None else old.block,
            silent=old.silent or silent,
        )

    def ended(self, output: Any) -> None:
        """The model has given this."""
        if (line := self.origin(output)) is not None:
            line.report = dataclasses.replace(line.report, followed=True)

    def _numbered(self, name: str) -> str:
        count = self._calls[name] = self._calls.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"

    def _note(self, output: Any, line: Line) -> None:
        self._origins[id(output)] = (output, line)

    def _replace(
        self, line: Line, activation: Activation | str, output: Any, net: Floats, values: Floats
    ) -> None:
        old = line.report
        line.history.append((old, line.output, line.steps))
        fans = None if old.fan_in is None or old.fan_out is None else (old.fan_in, old.fan_out)
        with np.errstate(all="ignore"):
            new = measure(old.name, activation, fans, line.before, net, values)
        line.report = dataclasses.replace(
            new,
            kind=old.kind,
            normalised=old.normalised,
            followed=old.followed,
            block=old.block,
            silent=old.silent,
        )
        line.output = output
        line.steps += 1
        self._note(output, line)
