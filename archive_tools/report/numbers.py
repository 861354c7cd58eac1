"""Numbers as people read them."""

import math


def figure(value: float | None, digits: int = 3) -> str:
    """Three significant digits, a true minus, a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, digits)}f}".replace("-", "−")


def fixed(value: float, decimals: int, *, signed: bool = False) -> str:
    """A set count of decimals, for columns: a true minus, no sign on a zero."""
    shown = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(shown) == 0:
        shown = shown.lstrip("+-")
    return shown.replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
