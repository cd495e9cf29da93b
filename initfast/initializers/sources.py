"""Sources, which hold the parameters of a draw for the kernels; each is created once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from initfast.core import distributions
from initfast.core.dtypes import DType
from initfast.initializers.precision import check_normal, check_uniform

if TYPE_CHECKING:
    from initfast._kernels import Source

# Creating a Source takes most of the time of a small call, so each one is cached. All arguments are
# floats except -0.0, strings, or tuples of plain integers, so that equal keys are equal parameters.
SOURCES = 1024


@lru_cache(SOURCES)
def uniform(minval: float, maxval: float, dtype: DType) -> Source:
    """Return the Source of uniform values in [minval, maxval)."""
    source = distributions.uniform(minval, maxval, dtype)
    check_uniform(minval, maxval, dtype)
    return source


@lru_cache(SOURCES)
def normal(mean: float, stddev: float, dtype: DType) -> Source:
    """Return the Source of normal values."""
    source = distributions.normal(mean, stddev, dtype)
    check_normal(mean, stddev, dtype)
    return source


@lru_cache(SOURCES)
def truncated_normal(
    mean: float, stddev: float, lower: float, upper: float, dtype: DType
) -> Source:
    """Return the Source of a truncated normal, with bounds in units of stddev."""
    source = distributions.truncated_normal(mean, stddev, lower, upper, dtype)
    check_normal(mean, stddev, dtype, lower, upper)
    return source
