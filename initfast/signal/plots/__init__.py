"""Pictures of reports and comparisons, drawn by matplotlib through its objects: nothing of pyplot's
state is used.

Wide enough for a README, with a marker and a line style to each colour. The same numbers give the
same PNG, byte for byte, with the same matplotlib."""

from initfast.signal.plots.comparisons import comparison
from initfast.signal.plots.depths import depth
from initfast.signal.plots.figures import check_matplotlib, write
from initfast.signal.plots.histograms import report

__all__ = ["check_matplotlib", "comparison", "depth", "report", "write"]
