"""What the kernels draw from, by parameters, made once each."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from initfast.core import distributions
from initfast.core.dtypes import DType
from initfast.initializers.precision import check_normal, check_uniform

if TYPE_CHECKING:
    from initfast._kernels import Source

# A small call is dominated by making its Source, so each one is made once. Only floats without
# -0.0, strings and tuples of plain integers come in, so that equal keys are the same parameters.
SOURCES = 1024


@lru_cache(SOURCES)
def uniform(minval: float, maxval: float, dtype: DType) -> Source:
    source = distributions.uniform(minval, maxval, dtype)
    check_uniform(minval, maxval, dtype)
    return source


@lru_cache(SOURCES)
def normal(mean: float, stddev: float, dtype: DType) -> Source:
    source = distributions.normal(mean, stddev, dtype)
    check_normal(mean, stddev, dtype)
    return source


@lru_cache(SOURCES)
def truncated_normal(
    mean: float, stddev: float, lower: float, upper: float, dtype: DType
) -> Source:
    source = distributions.truncated_normal(mean, stddev, lower, upper, dtype)
    check_normal(mean, stddev, dtype, lower, upper)
    return source
