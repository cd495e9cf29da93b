"""The layers of one run of a real model, as lines of a report: which normalisation and activation
belongs to which layer, and where a branch joins its residual stream.

An activation belongs to a layer if its input is the output tensor of the layer, or this tensor
after a reshape, pooling or dropout; a normalisation between the two belongs to the layer, too.
After any other operation, such as a sum, an activation belongs to no layer, and the layer is not
judged as a link of a chain."""

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
    """A layer of a model: its report so far, its latest output tensor, and the layer object
    `owner`."""

    report: LayerReport
    output: Any
    owner: Any
    before: Moments | None
    steps: int = 1  # number of output tensors: its own, the normalised one, the activations
    activated: bool = False
    norm: bool = False  # whether its output is normalised
    parts: list[Any] = field(default_factory=list)  # layers that only normalise or scale it
    # The values before each step: report, output, number of steps.
    history: list[tuple[LayerReport, Any, int]] = field(default_factory=list)


class Trail:
    """The layers of one run, in order."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.blocks: list[Block] = []
        self._calls: dict[str, int] = {}
        # Keyed by id; the tensor is kept alive, so that its id is not reused.
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
        inputs: Any = None,
        norm: bool = False,
    ) -> Line:
        """Record that a layer returned `output` for the input `inputs`, and return its new line.

        Args:
            owner: the layer object.
            name: its name; later calls of the same layer get the suffix '#2', '#3', ...
            fans: (fan_in, fan_out), or None.
            before: moments of the input; None if the input is tokens.
            output: the output tensor.
            values: the output as an array (samples, units).
            inputs: the input tensor.
            norm: whether the layer normalises.
        """
        source = self.origin(inputs)
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

    def origin(self, tensor: Any) -> Line | None:
        """Return the layer whose output is this tensor, with or without its activation, or None."""
        entry = self._origins.get(id(tensor))
        return None if entry is None else entry[1]

    def source(self, tensor: Any) -> Line | None:
        """Return the layer whose output is this tensor, if it has no activation yet, or None."""
        line = self.origin(tensor)
        return None if line is None or line.activated else line

    def pass_through(self, tensor: Any, output: Any) -> None:
        """Record that the output of a layer was reshaped, pooled or dropped out."""
        if (line := self.origin(tensor)) is not None and output is not tensor:
            self._note(output, line)

    def normalise(self, line: Line, output: Any, values: Floats, *, norm: bool = True) -> None:
        """Record that the output of a layer was normalised, or only scaled if `norm` is False;
        `values` become its net inputs."""
        self._replace(line, ACTIVATIONS["linear"], output, values, values)
        if norm:
            line.norm = True
            line.report = dataclasses.replace(line.report, normalised=True)

    def activate(
        self, line: Line, activation: Activation | str, output: Any, net: Floats, values: Floats
    ) -> None:
        """Record the activation of the output of a layer."""
        self._replace(line, activation, output, net, values)
        line.activated = True
        line.norm = False

    def join(self, name: str, before: float, branch: float, after: float) -> int:
        """Record that a branch was added to its stream, and return the index of the sum.

        The RMS of the stream before the sum, of the branch and of the sum are given."""
        number = self._calls[f"{name} +"] = self._calls.get(f"{name} +", 0) + 1
        title = name if number == 1 else f"{name}#{number}"
        self.blocks.append(Block(title, before, branch, after))
        return len(self.blocks) - 1

    def fork(self, stream: Any) -> None:
        """Record that a tensor is a residual stream: its normalisation or activation belongs to the
        branch, not to the layer whose output the tensor is."""
        line = self.origin(stream)
        if line is None:
            return
        for report, output, steps in line.history:
            if output is stream:
                line.report = dataclasses.replace(report, followed=False, block=line.report.block)
                line.output, line.steps = output, steps
                line.activated, line.norm = True, False
                return

    def assign(self, line: Line, block: int | None, *, silent: bool = False) -> None:
        """Record that a layer is part of the branch of a sum; `silent` if the branch outputs 0."""
        old = line.report
        line.report = dataclasses.replace(
            old,
            block=block if old.block is None else old.block,
            silent=old.silent or silent,
        )

    def end(self, output: Any) -> None:
        """Record the output of the model."""
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
