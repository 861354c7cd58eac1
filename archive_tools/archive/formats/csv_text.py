"""An archive's table as text, as other programs and countries write it: CSV and its kin."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from archive_tools.archive.formats.columns import (
    NAMES,
    Doubles,
    Needed,
    Table,
    assemble,
    needed,
    plain,
)
from archive_tools.archive.formats.contents import decode
from envs.errors import InputError

SEPARATORS = ",;\t|"
EMPTY = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-"}
csv.field_size_limit(1 << 30)  # a cell may hold a path of many steps


def read_csv(path: Path, data: bytes) -> Table:
    """An archive's table as text, however its program or country writes it.

    Separators are , ; tab or |; cells may span lines; numbers may have a decimal comma and
    thousands apart; the header may be one cell short (row names) or lines longer (trailing
    separators).

    Raises:
        InputError: columns are missing, or a cell is no number.
    """
    text = decode(data)
    separator, header, body = _header(text, path)
    found = needed(header, path)
    columns = _by_arrow(body, separator, len(header), found)
    if columns is None:
        columns = _by_cells(path, header, found, _records(path, body, separator, header))
    return assemble(path, header, found, columns)


def _header(text: str, path: Path) -> tuple[str, list[str], str]:
    """The separator, the header, and the text below it."""
    begin, first = 0, ""
    for _ in range(200):  # titles, comments and "sep=;" may stand above the header
        end = min((i for i in (text.find("\n", begin), text.find("\r", begin)) if i >= 0),
                  default=len(text))  # fmt: skip
        line = text[begin:end]
        first = first or line
        after = end + (2 if text[end : end + 2] == "\r\n" else 1)
        cells = {s: next(csv.reader([line], delimiter=s), []) for s in SEPARATORS}
        known = re.compile(rf"(?:{'|'.join(NAMES['solution'])})(?:_\d+)?")
        counts = {s: sum(bool(known.fullmatch(plain(c))) for c in cells[s]) for s in cells}
        best = max(counts, key=lambda s: counts[s])
        if counts[best]:
            return best, cells[best], text[after:]
        begin = after
        if begin >= len(text):
            break
    separator = max(SEPARATORS, key=first.count)
    header = next(csv.reader([first], delimiter=separator), [])
    needed(header, path)  # says what is missing
    raise AssertionError("unreachable")


def _by_arrow(body: str, separator: str, width: int, found: Needed) -> dict[int, Doubles] | None:
    """The columns by Arrow's reader, fast and exact to the last bit; None where it cannot."""
    names = [str(i) for i in range(width)]
    wanted = [str(i) for i in found.places]
    data = body.encode("utf-8", errors="replace")
    for decimal in (".", ",") if separator != "," else (".",):
        for block in (1 << 24, min(len(data) + 1, (1 << 31) - 1)):  # a cell must fit into a block
            try:
                table = pa_csv.read_csv(
                    io.BytesIO(data),
                    pa_csv.ReadOptions(column_names=names, block_size=block),
                    pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
                    pa_csv.ConvertOptions(
                        include_columns=wanted,
                        column_types=dict.fromkeys(wanted, pa.float64()),
                        decimal_point=decimal,
                    ),
                )
            except (pa.ArrowException, OSError, ValueError):
                continue
            columns = {
                int(name): np.array(table[name].to_numpy(), dtype=np.float64) for name in wanted
            }
            if decimal == "." or not _may_be_thousands(columns):
                return columns
    return None


def _may_be_thousands(columns: dict[int, Doubles]) -> bool:
    """Whether all numbers with decimals look like 12,345: a comma that may mean either."""
    values = np.concatenate([v for v in columns.values()])
    parts = values[np.isfinite(values) & (values != np.floor(values))]
    return bool(len(parts)) and bool(((abs(parts) >= 1) & (np.round(parts, 3) == parts)).all())


def _records(path: Path, body: str, separator: str, header: list[str]) -> list[list[str]]:
    """The rows as cells, each as long as the header."""
    width, names = len(header), 0
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(body, newline=""), delimiter=separator):
            if not any(cell.strip() for cell in row) or row[0].lstrip()[:2] in ("#", "# ", "##"):
                continue
            if not rows and len(row) == width + 1 and row[-1].strip():
                names = 1  # R writes row names under no header
            row = row[names:]
            if any(cell.strip() for cell in row[width:]):
                raise InputError(
                    f"{path}: not a readable CSV table (row {len(rows)} has {len(row)} cells, the "
                    f"header {width}); quote cells that hold {separator!r}"
                )
            rows.append([*row[:width], *[""] * (width - len(row))])
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV table ({error})") from None
    return rows


def _by_cells(
    path: Path, header: list[str], found: Needed, rows: list[list[str]]
) -> dict[int, Doubles]:
    columns = {
        place: np.array([row[place] for row in rows], dtype=object) for place in found.places
    }
    lists = {
        place: _lists(cells, header[place], path)
        for place, cells in columns.items()
        if place not in found.ids and any(cell.strip()[:1] in ("[", "(") for cell in cells)
    }
    single = {place: _tidy(cells) for place, cells in columns.items() if place not in lists}
    comma = _decimal_comma(single.values(), path)
    for place, cells in single.items():
        try:
            lists[place] = _floats(cells, header[place], path, comma)
        except InputError:
            if place not in found.ids:
                raise
    return lists


def _tidy(cells: NDArray[Any]) -> list[str]:
    """Cells without blanks and apostrophes among the digits, which some countries write, nor the
    ="…" around them by which spreadsheets keep them as they are."""
    odd = re.compile(r"[\s'’_\u00a0\u2009\u202f]|^=\"|(?<=.)\"$")
    return [odd.sub("", cell).replace("\u2212", "-") for cell in cells]


def _decimal_comma(columns: Any, path: Path) -> bool:
    """Whether a comma parts the decimals of a table, not the thousands.

    Raises:
        InputError: its cells contradict each other, or leave it open.
    """
    commas = [cell for cells in columns for cell in cells if "," in cell]
    if not commas:
        return False
    thousands = re.compile(r"[+-]?\d{1,3}(,\d{3})*(,\d{3}\.\d*|(,\d{3}){2})(e[+-]?\d+)?", re.I)
    open_ = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
    decimal = re.compile(r"[+-]?(\d*|\d{1,3}(\.\d{3})+),\d*(e[+-]?\d+)?", re.I)
    as_thousands = next((c for c in commas if thousands.fullmatch(c)), None)
    as_decimal = next((c for c in commas if decimal.fullmatch(c) and not open_.fullmatch(c)), None)
    if as_thousands is not None and as_decimal is not None:
        raise InputError(
            f"{path}: a comma parts thousands in {as_thousands!r} and decimals in {as_decimal!r}; "
            "save it anew with decimal points"
        )
    if as_thousands is None and as_decimal is None and all(open_.fullmatch(c) for c in commas):
        raise InputError(
            f"{path}: {commas[0]!r} may be a thousand or a decimal; save it anew with decimal "
            "points and no sign between thousands"
        )
    return as_decimal is not None


def _floats(cells: list[str], name: str, path: Path, comma: bool) -> Doubles:
    found = np.full(len(cells), np.nan)
    group = re.compile(r"[+-]?\d{1,3}([.,])\d{3}(?:\1\d{3})*(?!\d)")
    for row, cell in enumerate(cells):
        if cell.lower() in EMPTY:
            continue
        mark, other = (",", ".") if comma else (".", ",")
        plain = cell
        if other in cell:
            # Signs between thousands stand three digits apart, and before the decimals.
            match = group.match(cell)
            if match and match[1] == other and other not in cell[match.end() :]:
                plain = match[0].replace(other, "") + cell[match.end() :]
        try:
            if other in plain:
                raise ValueError
            found[row] = float(plain.replace(mark, "."))
        except ValueError:
            how = ", with a decimal comma as elsewhere in it" if comma else ""
            raise InputError(
                f"{path}: column {name.strip()!r}, row {row}: found {cell[:40]!r}; expected a "
                f"finite number{how}"
            ) from None
    return found


def _lists(cells: NDArray[Any], name: str, path: Path) -> Doubles:
    """Cells that hold a list each, as JSON or as NumPy prints it: [N, D]."""
    rows = []
    for row, cell in enumerate(cells):
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            if "..." in cell:
                raise InputError(
                    f"{path}: column {name.strip()!r}, row {row}: the list was cut by NumPy's "
                    "printing (...); save its numbers in columns of their own"
                ) from None
            value = re.sub(r"[\[\](),]", " ", cell).split()
        try:
            rows.append(np.asarray(value, dtype=np.float64).reshape(-1))
        except (ValueError, TypeError):
            raise InputError(
                f"{path}: column {name.strip()!r}, row {row}: found {cell[:40]!r}; expected a list "
                "of numbers"
            ) from None
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        shown = ", ".join(map(str, lengths[:4]))
        raise InputError(
            f"{path}: column {name.strip()!r} has vectors of several lengths or nulls (lengths "
            f"{shown}); expected one length"
        )
    return np.stack(rows)
