"""Numbers as text: with their errors, and durations."""

import math


def with_error(mean: float, error: float) -> str:
    """-59.432(12): the error in brackets counts the last digits.

    Two digits of the error are kept, and at most three decimals: one ueV when energies are in meV.
    """
    if not (math.isfinite(mean) and math.isfinite(error)) or error <= 0:
        return f"{mean:.4g}"
    decimals = min(max(0, 1 - math.floor(math.log10(error))), 3)
    digits = max(round(error * 10**decimals), 1)
    if decimals and digits >= 100:  # 0.0996 rounds to 0.10
        decimals, digits = decimals - 1, digits // 10
    return f"{mean:.{decimals}f}({digits})" if error < 1 else f"{mean:.{decimals}f}({error:.{decimals}f})"


def duration(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
