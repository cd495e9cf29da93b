"""What ran in a real model, as lines of a report: which normalisation and activation belongs to
which layer.

An activation belongs to the layer whose output it was given, the very same tensor; so does a
normalisation between the two. What comes through anything else, such as a sum or a pooling, belongs
to none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from initfast.signal.activations import ACTIVATIONS, Activation
from initfast.signal.layers import LayerReport
from initfast.signal.measures import Moments, measure

__all__ = ["Line", "Trail"]

Floats = npt.NDArray[np.floating[Any]]


@dataclass
class Line:
    """A layer of a model: its line so far, the tensor that it gives now, and who it is."""

    report: LayerReport
    output: Any
    owner: Any
    before: Moments | None
    steps: int = 1  # tensors that it has given: its own, the normalised one, the activations
    activated: bool = False


class Trail:
    """The layers of one run, in order."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._calls: dict[str, int] = {}

    def layer(
        self,
        owner: Any,
        name: str,
        fans: tuple[int, int] | None,
        before: Moments | None,
        output: Any,
        values: Floats,
    ) -> Line:
        """A layer has given `output`, whose values are (samples, units). A later call has '#2'
        after its name.
        """
        count = self._calls[name] = self._calls.get(name, 0) + 1
        shown = name if count == 1 else f"{name}#{count}"
        with np.errstate(all="ignore"):
            report = measure(shown, ACTIVATIONS["linear"], fans, before, values, values)
        self.lines.append(Line(report, output, owner, before))
        return self.lines[-1]

    def source(self, given: Any) -> Line | None:
        """The layer that gave this very tensor and has no activation yet."""
        found = next((line for line in reversed(self.lines) if line.output is given), None)
        return None if found is None or found.activated else found

    def normalised(self, line: Line, output: Any, values: Floats) -> None:
        """What a layer gave has been normalised: these are its net inputs."""
        self._replace(line, ACTIVATIONS["linear"], output, values, values)

    def activated(
        self, line: Line, activation: Activation | str, output: Any, net: Floats, values: Floats
    ) -> None:
        """What a layer gave has become activations."""
        self._replace(line, activation, output, net, values)
        line.activated = True

    def _replace(
        self, line: Line, activation: Activation | str, output: Any, net: Floats, values: Floats
    ) -> None:
        old = line.report
        fans = None if old.fan_in is None or old.fan_out is None else (old.fan_in, old.fan_out)
        with np.errstate(all="ignore"):
            line.report = measure(old.name, activation, fans, line.before, net, values)
        line.output = output
        line.steps += 1
