"""Pictures of reports and comparisons, drawn with matplotlib's objects, without pyplot's state.

They are as wide as a README, and each colour has a marker and a line style. With the same
matplotlib, the same numbers give the same PNG, byte for byte."""

from initfast.signal.plots.comparisons import comparison
from initfast.signal.plots.depths import depth
from initfast.signal.plots.figures import check_matplotlib, write
from initfast.signal.plots.histograms import report

__all__ = ["check_matplotlib", "comparison", "depth", "report", "write"]
