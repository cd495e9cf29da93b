"""Tail probabilities of a truncated normal's bounds, the same on every machine.

They are computed with `decimal`, whose results are the same everywhere. `math.erfc` may differ by
one bit between C libraries, which would change every value of the array."""

from __future__ import annotations

from decimal import Context, Decimal, getcontext, localcontext
from functools import lru_cache

# Beyond this many standard deviations, Q(x) is outside the range of the kernel's tail fits.
FARTHEST = 38.0
# From here on the kernel uses its fit for far tails and scaled probabilities.
FAR = 4.0

_CONTEXT = Context(prec=70, Emin=-10_000, Emax=10_000)
_TWO_PI = Decimal(
    "6.28318530717958647692528676655900576839433879875021"
    "16419498891846156328125724179972560696506842341360"
)
_LN_2 = Decimal(
    "0.693147180559945309417232121458176568075500134360255"
    "25412068000949339362196969471560586332699641869"
)
_HALF = Decimal("0.5")


def _upper_tail(x: Decimal) -> Decimal:
    """Return Q(x), the probability that a standard normal exceeds x, to at least 40 digits."""
    if x < 0:
        return 1 - _upper_tail(-x)
    density = (-x * x / 2).exp() / _TWO_PI.sqrt()
    if x < 2:
        # 1/2 - density * (x + x^3/3 + x^5/(3*5) + ...): Abramowitz and Stegun 26.2.11.
        term, total, odd = x, x, 1
        least = Decimal(10) ** (5 - getcontext().prec)
        while term > least:
            odd += 2
            term = term * x * x / odd
            total += term
        return _HALF - density * total
    # density / (x + 1/(x + 2/(x + 3/(x + ...)))): 26.2.14. The error after n steps is about exp(-2
    # x sqrt(2 n)).
    fraction = x
    for k in range(600, 0, -1):
        fraction = x + k / fraction
    return density / fraction


def _split(value: Decimal) -> tuple[float, float]:
    """Return two floats whose sum is the value, to twice the precision of one."""
    high = float(value)
    return high, float(value - Decimal(high))


@lru_cache(maxsize=1024)
def free_parameters(lower: float, upper: float) -> tuple[float, ...]:
    """Return the numbers that src/truncated.h needs for bounds in standard deviations.

    In order: below, above, mass, mass_low, centre, centre_low, log_scale (src/README.md defines
    them), and 1.0 for far tails, else 0.0. `lower` must be less than `upper`, and [lower, upper]
    must overlap [-FARTHEST, FARTHEST].
    """
    with localcontext(_CONTEXT) as context:
        a, b = Decimal(lower), Decimal(upper)
        # If the bounds are close, their tails agree in many digits, which cancel.
        context.prec += max(0, -20 - (b - a).adjusted())
        if lower >= FAR or upper <= -FAR:
            near, beyond = (a, b) if lower > 0 else (-b, -a)
            near_tail, beyond_tail = _upper_tail(near), _upper_tail(beyond)
            # Probabilities times 2^k, with near_tail * 2^k in [1/2, 1).
            k = -int((near_tail.ln() / _LN_2).to_integral_value(rounding="ROUND_FLOOR")) - 1
            scale = Decimal(2) ** k
            mass, mass_low = _split((near_tail - beyond_tail) * scale)
            edge = float(beyond_tail * scale)
            log_scale = float(2 * k * _LN_2)
            # The centre only selects the tail: c = centre + mass * u keeps its sign and is never in
            # the range of the central fit.
            if lower > 0:
                return 1.0, edge, mass, mass_low, 1.0, 0.0, log_scale, 1.0
            return edge, 1.0, mass, mass_low, -3.0, 0.0, log_scale, 1.0
        below, above = _upper_tail(-a), _upper_tail(b)
        exact = (
            _upper_tail(a) - above
            if lower > 0
            else _upper_tail(-b) - below
            if upper < 0
            else 1 - below - above
        )
        mass, mass_low = _split(exact)
        centre, centre_low = _split(below - _HALF)
        return float(below), float(above), mass, mass_low, centre, centre_low, 0.0, 0.0


def keeps_half(parameters: tuple[float, ...]) -> bool:
    """Return whether at least half of the normal's mass is within the bounds."""
    mass, far = parameters[2], parameters[7]
    return not far and mass >= 0.5
