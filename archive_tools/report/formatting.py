"""Numbers and tables as text: for the page, and for papers as LaTeX (booktabs) and CSV.

A document needs `\\usepackage{booktabs}`; every other command is LaTeX's own, and the text is
ASCII, so that any engine takes it.
"""

import math
import unicodedata
from collections.abc import Sequence

import pandas as pd

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "−": "$-$", "–": "--", "—": "---", "τ": r"$\tau$", "κ": r"$\kappa$", "ρ": r"$\rho$",
    "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "±": r"$\pm$", "→": r"$\to$",
    "’": "'", "‘": "`", "“": "``", "”": "''", "\u00a0": "~", "\u2009": r"\,",
    "…": r"\ldots{}", "\n": " ", "\r": " ", "\t": " ",
}  # fmt: skip


def figure(value: float | None, digits: int = 3) -> str:
    """A number for people: three significant digits, a true minus, a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, digits)}f}".replace("-", "−")


def fixed(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number with a set count of decimals, for columns: a true minus, no sign on a zero."""
    shown = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(shown) == 0:
        shown = shown.lstrip("+-")
    return shown.replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def escape(text: str) -> str:
    """Text as LaTeX shows it, in ASCII; an accent is taken off a letter that has no other way."""
    parts = []
    for char in text:
        if char in SPECIAL:
            parts.append(SPECIAL[char])
        elif char.isascii():
            parts.append(char)
        else:
            plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
            parts.append(escape(plain) if plain else "?")
    return "".join(parts)


def tabular(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A `tabular` of plain texts.

    Args:
        columns: names.
        rows: cells of each row, as many as columns.
        left: how many columns are words, set to the left; the others are figures.
    """
    frame = pd.DataFrame(
        [list(map(escape, row)) for row in rows], columns=list(map(escape, columns))
    )
    layout = "l" * left + "r" * (len(columns) - left)
    return frame.style.hide(axis="index").to_latex(column_format=layout, hrules=True)


def comma_separated(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """CSV with a head line."""
    return pd.DataFrame(rows, columns=list(columns)).to_csv(index=False, lineterminator="\n")
