"""Is this initialisation any good for my network? Measured: signals forward, gradients back, and
the verdicts.

`diagnose` measures a sketch of a network, `recommend` names the initializer that fits an
activation; real models are measured by `initfast.torch.diagnose` and `initfast.keras.diagnose`.
`compare` trains, and `coordinate_check` goes through widths."""

from initfast.signal.activations import ACTIVATIONS, Activation
from initfast.signal.comparisons import Comparison
from initfast.signal.coordinates import CoordinateCheck, coordinate_check
from initfast.signal.diagnosis import diagnose
from initfast.signal.experiment import compare
from initfast.signal.recommendations import Recommendation, recommend
from initfast.signal.reports import (
    Block,
    Histogram,
    LayerReport,
    SignalReport,
    Summary,
    Verdict,
)
from initfast.signal.verdicts import CRITERIA, THRESHOLDS

__all__ = [
    "ACTIVATIONS",
    "CRITERIA",
    "THRESHOLDS",
    "Activation",
    "Block",
    "Comparison",
    "CoordinateCheck",
    "Histogram",
    "LayerReport",
    "Recommendation",
    "SignalReport",
    "Summary",
    "Verdict",
    "compare",
    "coordinate_check",
    "diagnose",
    "recommend",
]

# Pickles name a class by its module: the public one, wherever its file may move.
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
