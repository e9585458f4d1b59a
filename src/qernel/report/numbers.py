"""Numbers as a reader wants them: as many digits as the error allows."""

import math
from collections.abc import Iterable

MINUS = "\N{MINUS SIGN}"


def decimals_for(errors: Iterable[float]) -> int:
    """Decimals that show the smallest error with two significant digits; 3 where there is none."""
    positive = [error for error in errors if math.isfinite(error) and error > 0]
    return min(6, max(0, 1 - math.floor(math.log10(min(positive))))) if positive else 3


def decimals_of(values: Iterable[float], most: int = 4) -> int:
    """Decimals that show given values in full, at most so many."""
    values = list(values)
    enough = (d for d in range(most) if all(abs(round(value, d) - value) < 1e-9 for value in values))
    return next(enough, most)


def fixed(value: float, decimals: int, sign: bool = False) -> str:
    """A number with a true minus sign, e.g. −61.167; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{decimals}f}".replace("-", MINUS)


def html_with_error(value: float, error: float, decimals: int, sign: bool = False) -> str:
    """HTML of a number and its standard error, the latter subdued."""
    return f'{fixed(value, decimals, sign)}<span class="error"> ± {fixed(error, decimals)}</span>'
