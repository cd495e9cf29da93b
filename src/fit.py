"""Fit the polynomials and rational functions of the stream: `python src/fit.py` (needs mpmath).

It writes `src/coefficients.h` (C) and `src/coefficients.py` (for `src/reference.py`). Both files
are committed, so that a build does not run it. Each function is fitted in relative error by
Lawson-weighted least squares with 50 digits (rational functions: with the Sanathanan-Koerner
linearisation), which is close to the minimax fit. The coefficients of a polynomial are then rounded
one by one, from the lowest power on, and the others are fitted again after each rounding, so that
rounding errors do not add up."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mpmath as mp

mp.mp.dps = 50


class Fit(NamedTuple):
    """A row of the table: a function on [low, high], the degrees of its fit, and the precision.

    The largest relative error is minimised: relative to `added` + function, the number that the
    kernel computes."""

    name: str
    about: str
    digits: str
    function: Callable[[Any], Any]
    low: float
    high: float
    numerator: int
    denominator: int = 0
    added: float = 0.0


def minus_two_log_over_g(g: Any) -> Any:
    """Return -2 ln(1 + g / 2) / g."""
    return -2 * mp.log1p(g / 2) / g if g else mp.mpf(-1)


# pi/2 as float32 and as float64: the first coefficient of the sine. The kernel adds its term last,
# with one rounding.
HALF_PI_F32 = mp.mpf(float.fromhex("0x1.921fb6p0"))
HALF_PI_F64 = mp.mpf(float.fromhex("0x1.921fb54442d18p0"))


def sine_excess(z: Any, half_pi: Any) -> Any:
    """Return sin(x pi/2) / x - half_pi, for z = x * x."""
    x = mp.sqrt(z)
    return (mp.sin(mp.pi / 2 * x) / x if x else mp.pi / 2) - half_pi


def cosine_of_quarter_turns(z: Any) -> Any:
    """Return (cos(x pi/2) - 1) / z, for z = x * x."""
    return (mp.cos(mp.pi / 2 * mp.sqrt(z)) - 1) / z if z else -((mp.pi / 2) ** 2) / 2


def truncated_excess(v: Any) -> Any:
    """Return x / t - 1, for x the normal quantile of (1 + t erf(sqrt 2)) / 2 and v = t * t - 1."""
    t = mp.sqrt(v + 1)
    mass = mp.erf(mp.sqrt(2))
    return mp.sqrt(2) * mp.erfinv(t * mass) / t - 1 if t > 1e-15 else mp.sqrt(mp.pi / 2) * mass - 1


def central_quantile(v: Any) -> Any:
    """Return x / c, for x the normal quantile of 1/2 + c and v = 0.425^2 - c * c."""
    c = mp.sqrt(mp.mpf("0.180625") - v) if v < mp.mpf("0.180625") else mp.mpf(0)
    return mp.sqrt(2) * mp.erfinv(2 * c) / c if c > 1e-15 else mp.sqrt(2 * mp.pi)


def tail_quantile(r: Any) -> Any:
    """Return the x whose upper tail of the normal is exp(-r * r / 2).

    It is found with Newton's method for the logarithm of the tail."""
    goal = -r * r / 2
    x = r
    for _ in range(60):
        tail = mp.erfc(x / mp.sqrt(2)) / 2
        step = (mp.log(tail) - goal) * tail / (mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi))
        x += step
        if abs(step) < mp.mpf(10) ** -40:
            return x
    raise ArithmeticError(f"no convergence at r = {r}")


TABLE = [
    Fit("log_f32", "-2 ln(1 + g/2) / g in g", "float32", minus_two_log_over_g, -1.0, 0.0, 9),
    Fit(
        "sin_f32",
        "sin(x pi/2) / x - HALF_PI_F32 in x*x",
        "float32",
        lambda z: sine_excess(z, HALF_PI_F32),
        0.0,
        0.25,
        3,
        0,
        float(HALF_PI_F32),
    ),
    Fit(
        "cos_f32",
        "(cos(x pi/2) - 1) / (x*x) in x*x",
        "float32",
        cosine_of_quarter_turns,
        0.0,
        0.25,
        3,
    ),
    Fit("truncated_f32", "x / t - 1 in t*t - 1", "float32", truncated_excess, -1.0, 0.0, 5, 4, 1.0),
    Fit("log_f64", "-2 ln(1 + g/2) / g in g", "float64", minus_two_log_over_g, -1.0, 0.0, 20),
    Fit(
        "sin_f64",
        "sin(x pi/2) / x - HALF_PI_F64 in x*x",
        "float64",
        lambda z: sine_excess(z, HALF_PI_F64),
        0.0,
        0.25,
        7,
        0,
        float(HALF_PI_F64),
    ),
    Fit(
        "cos_f64",
        "(cos(x pi/2) - 1) / (x*x) in x*x",
        "float64",
        cosine_of_quarter_turns,
        0.0,
        0.25,
        7,
    ),
    Fit(
        "truncated_f64", "x / t - 1 in t*t - 1", "float64", truncated_excess, -1.0, 0.0, 10, 10, 1.0
    ),
    Fit(
        "central_f64",
        "quantile(1/2 + c) / c in 0.425^2 - c*c",
        "float64",
        central_quantile,
        0.0,
        0.180625,
        8,
        7,
    ),
    Fit(
        "near_tail_f64",
        "upper quantile of exp(-r*r/2) in r - 2.25",
        "float64",
        lambda s: tail_quantile(s + 2.25),
        -0.01,
        8.35,
        9,
        8,
    ),
    Fit(
        "far_tail_f64",
        "upper quantile of exp(-r*r/2) in r",
        "float64",
        tail_quantile,
        4.5,
        40.5,
        9,
        8,
    ),
]


def rounded(value: Any, digits: str) -> float:
    """Return the nearest float64, or the float32 nearest to that.

    The second rounding does no harm to a coefficient."""
    value = float(value)
    return value if digits == "float64" else struct.unpack("f", struct.pack("f", value))[0]


def polynomial(coefficients: list[Any], x: Any) -> Any:
    """Return the value of a polynomial whose coefficients begin with the lowest power.

    Not mpmath's polyval, whose order changed in version 1.4."""
    y = mp.mpf(0)
    for coefficient in reversed(coefficients):
        y = y * x + coefficient
    return y


def solve(
    fit: Fit, xs: list[Any], fs: list[Any], fixed: dict[int, Any], rounds: int
) -> tuple[list[Any], Any]:
    """Return all coefficients, given the fixed ones, and the largest relative error.

    The coefficients are those of the numerator, then denominator 1, 2, ...
    """
    unknowns = fit.numerator + 1 + fit.denominator
    free = [k for k in range(unknowns) if k not in fixed]
    weights, denominators = [mp.mpf(1)] * len(xs), [mp.mpf(1)] * len(xs)
    best: tuple[list[Any], Any] | None = None
    for _ in range(rounds):
        matrix, target = mp.matrix(len(xs), len(free)), mp.matrix(len(xs), 1)
        for i, (x, f) in enumerate(zip(xs, fs, strict=True)):
            scale = mp.sqrt(weights[i]) / abs(denominators[i] * (f + fit.added))
            basis = [
                x**k if k <= fit.numerator else -f * x ** (k - fit.numerator)
                for k in range(unknowns)
            ]
            for column, k in enumerate(free):
                matrix[i, column] = scale * basis[k]
            target[i] = scale * (f - sum(basis[k] * value for k, value in fixed.items()))
        solution = mp.qr_solve(matrix, target)[0]
        coefficients = [
            fixed[k] if k in fixed else solution[free.index(k)] for k in range(unknowns)
        ]
        below = [mp.mpf(1), *coefficients[fit.numerator + 1 :]]
        denominators = [polynomial(below, x) for x in xs]
        values = [
            polynomial(coefficients[: fit.numerator + 1], x) / d
            for x, d in zip(xs, denominators, strict=True)
        ]
        errors = [abs((value - f) / (f + fit.added)) for value, f in zip(values, fs, strict=True)]
        if best is None or max(errors) < best[1]:
            best = coefficients, max(errors)
        total = sum(w * e for w, e in zip(weights, errors, strict=True))
        weights = [
            max(w * e / total * len(xs), mp.mpf(10) ** -8)
            for w, e in zip(weights, errors, strict=True)
        ]
    assert best is not None
    return best


def coefficients(fit: Fit) -> tuple[list[float], list[float], float]:
    """Return numerator, denominator (which begins with 1) and the largest relative error.

    The error is that of the last fit, before its own coefficients are rounded."""
    unknowns = fit.numerator + 1 + fit.denominator
    low, high = mp.mpf(fit.low), mp.mpf(fit.high)
    count = 6 * unknowns
    xs = [
        (low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * count))
        for k in range(count)
    ]
    fs = [fit.function(x) for x in xs]
    fixed: dict[int, Any] = {}
    exact, error = solve(fit, xs, fs, fixed, 14)
    # In a rational function the coefficients depend on each other too much for rounding one by one.
    order = range(unknowns) if fit.denominator == 0 else []
    for k in order:
        fixed[k] = mp.mpf(rounded(exact[k], fit.digits))
        if len(fixed) < unknowns:
            exact, error = solve(fit, xs, fs, fixed, 3)
    final = [rounded(value, fit.digits) for value in exact]
    print(
        f"{fit.name}: relative error before rounding 2^{float(mp.log(error, 2)):.1f}",
        file=sys.stderr,
    )
    return final[: fit.numerator + 1], [1.0, *final[fit.numerator + 1 :]], float(error)


def main() -> None:
    here = Path(__file__).resolve().parent
    header = [
        "/* Coefficients of the stream, lowest power first. fit.py writes this file. */",
        "// clang-format off",
        "#ifndef INITFAST_COEFFICIENTS_H",
        "#define INITFAST_COEFFICIENTS_H",
        "",
    ]
    module = [
        '"""Coefficients of the stream, lowest power first. src/fit.py writes this file."""',
        "",
    ]
    for fit in TABLE:
        above, below, _ = coefficients(fit)
        parts = (
            [("", above)]
            if not fit.denominator
            else [("_numerator", above), ("_denominator", below)]
        )
        header.append(f"/* {fit.about}, for [{fit.low}, {fit.high}] */")
        for suffix, values in parts:
            kind, mark = ("float", "f") if fit.digits == "float32" else ("double", "")
            name = (
                fit.name.rpartition("_")[0] + suffix + "_" + fit.name.rpartition("_")[2]
            ).upper()
            header += [
                f"static const {kind} {name}[] = {{",
                *(f"    {v.hex()}{mark}," for v in values),
                "};",
            ]
            module += [f"{name} = (", *(f'    float.fromhex("{v.hex()}"),' for v in values), ")"]
        header.append("")
    header.append("#endif")
    (here / "coefficients.h").write_text("\n".join(header) + "\n")
    (here / "coefficients.py").write_text("\n".join(module) + "\n")


if __name__ == "__main__":
    main()
