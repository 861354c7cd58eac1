"""Archives as other programs, countries and compressors write them; other files by mistake."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import re
import zipfile
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archive_tools.archive.readers import read_foreign
from envs.errors import InputError

N, WEIGHTS = 12, 5


def archive(n: int = N, weights: int = WEIGHTS) -> pd.DataFrame:
    """Columns of a pyribs archive, with numbers of few digits, so that text keeps them exactly."""
    rng = np.random.default_rng(0)
    data = {f"solution_{i}": rng.normal(size=n).round(5) for i in range(weights)}
    data |= {"objective": rng.random(n).round(4), "measures_0": rng.uniform(1000, 6000, n).round(2)}
    data |= {"measures_1": rng.uniform(0, 600, n).round(2), "index": np.arange(n) + 7}
    return pd.DataFrame(data)


FRAME = archive()


def csv(frame: pd.DataFrame | None = None, **how) -> bytes:
    frame = FRAME if frame is None else frame
    return frame.to_csv(index=False, **how).encode()


def several_lines() -> bytes:
    """Above the 16 MB of a reader's block, with cells of several lines."""
    wide = archive(800, 302)
    wide["metadata"] = [str({"generation": k, "path": np.arange(400.0) + k}) for k in range(800)]
    return csv(wide)


def german(thousands: str = "", **how) -> bytes:
    """Semicolons and decimal commas, and a sign between thousands."""

    def cell(value: float) -> str:
        text = f"{value:,.5f}" if value % 1 else f"{value:,.0f}"
        return text.replace(",", "T").replace(".", ",").replace("T", thousands)

    rows = [";".join(cell(v) for v in row) for row in FRAME.to_numpy(float).tolist()]
    return "\n".join([";".join(FRAME.columns), *rows]).encode(**how)


def english_thousands() -> bytes:
    frame = FRAME.copy()
    frame["measures_0"] = [f"{v:,.2f}" for v in frame["measures_0"]]
    return csv(frame)


def lists(form) -> bytes:
    """One cell for a vector."""
    frame = FRAME[["objective", "index"]].copy()
    for name, field in (("solution", "solution"), ("measures", "measures")):
        values = FRAME.filter(like=f"{field}_").to_numpy()
        frame[name] = [form(row) for row in values]
    return csv(frame)


def lines(change) -> bytes:
    return "\n".join(change(csv().decode().splitlines())).encode()


def trailing_rows_and_columns(rows: list[str]) -> list[str]:
    rows = [row + ",," for row in rows]
    return [*rows, "," * (len(FRAME.columns) + 1), "", ","]


def zipped(data: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("__MACOSX/._elites.csv", b"x")
        for name in names or ("elites.csv",):
            bundle.writestr(name, data)
    return file.getvalue()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(data)
    return sink.getvalue().to_pybytes()


def with_columns(*twice: str, **columns) -> bytes:
    """As Parquet, with further columns of any kind."""
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    for name, values in columns.items():
        for _ in range(1 + (name in twice)):
            table = table.append_column(name, values)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def as_type(kind: pa.DataType, **names) -> bytes:
    """As Parquet, all numbers of another type."""
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    columns = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        if kind in (pa.string(), pa.string_view()):
            values = [str(v) for v in values]
        elif pa.types.is_decimal(kind):
            values = [Decimal(str(v)) for v in values]
        column = pa.array(values, None if pa.types.is_dictionary(kind) else kind)
        columns[name] = column.dictionary_encode() if pa.types.is_dictionary(kind) else column
    columns["index"] = table["index"]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def vectors(kind) -> bytes:
    """As Parquet, a list for a vector."""
    columns = {name: pa.array(FRAME[name]) for name in ("objective", "index")}
    for field in ("solution", "measures"):
        columns[field] = kind(FRAME.filter(like=f"{field}_").to_numpy())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def fixed(rows: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


RAGGED = pa.array([list(map(float, range(k % 5 + 1))) for k in range(N)])
FOREIGN_COLUMNS = dict(
    path=RAGGED,
    nested=pa.array([[{"a": [k]}] for k in range(N)]),
    when=pa.array([datetime(2024, 1, 1)] * N),
    picture=pa.array([b"\x89PNG"] * N, pa.large_binary()),
    words=pa.array(["so\nlala"] * N, pa.large_string()),
    kind=pa.array(["a", "b"] * (N // 2)).dictionary_encode(),
    nothing=pa.nulls(N),
    big=pa.array([Decimal("1e30")] * N),
    table=pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int32())),
)
READ = {
    "plain": csv,
    "gzip": lambda: gzip.compress(csv()),
    "bzip2": lambda: bz2.compress(csv()),
    "xz": lambda: lzma.compress(csv()),
    "zstd": lambda: zstd(csv()),
    "zip": lambda: zipped(csv()),
    "gzip of Parquet": lambda: gzip.compress(with_columns()),
    "UTF-8 with a mark": lambda: b"\xef\xbb\xbf" + csv(),
    "UTF-16": lambda: csv().decode().encode("utf-16"),
    "UTF-16, big end first": lambda: b"\xfe\xff" + csv().decode().encode("utf-16-be"),
    "UTF-16 without a mark": lambda: csv().decode().encode("utf-16-le"),
    "UTF-32": lambda: csv().decode().encode("utf-32"),
    "latin-1": lambda: csv(FRAME.assign(note="Größe")).decode().encode("latin-1"),
    "semicolons": lambda: csv(sep=";"),
    "tabs": lambda: csv(sep="\t"),
    "bars": lambda: csv(sep="|"),
    "CR LF": lambda: csv(lineterminator="\r\n"),
    "CR": lambda: csv(lineterminator="\r"),
    "decimal commas": german,
    "decimal commas, tabs": lambda: german().replace(b";", b"\t"),
    "decimal commas, quoted": lambda: csv(decimal=","),
    "decimal commas and dots": lambda: german("."),
    "decimal commas and blanks": lambda: german(" "),
    "decimal commas and narrow blanks": lambda: german("\u202f"),
    "decimal commas and apostrophes": lambda: german("'"),
    "thousands in English": english_thousands,
    "a longer minus": lambda: csv().decode().replace("-", "\u2212").encode(),
    "all quoted": lambda: csv(quoting=1),
    "JSON lists": lambda: lists(lambda row: json.dumps(row.tolist())),
    "NumPy's lists": lambda: lists(lambda row: str(row).replace(" ", "\n", 1)),
    "dictionaries in cells": lambda: csv(FRAME.assign(metadata='{"a": "b, c", "d": [1,\n2]}')),
    "an index without a name": lambda: FRAME.to_csv().encode(),
    "row names as R writes them": lambda: lines(
        lambda rows: [rows[0], *(f"row{i},{row}" for i, row in enumerate(rows[1:]))]
    ),
    "trailing columns and rows": lambda: lines(trailing_rows_and_columns),
    "separators at the ends of rows": lambda: lines(
        lambda rows: [rows[0], *(row + "," for row in rows[1:])]
    ),
    "rows of nothing": lambda: csv(pd.concat([FRAME, FRAME * np.nan])),
    "sep= of Excel": lambda: b"sep=;\r\n" + csv(sep=";", lineterminator="\r\n"),
    "padded numbers in the header": lambda: lines(
        lambda rows: [re.sub(r"_(\d)", r"_00\1", rows[0]), *rows[1:]]),
    "a comment above": lambda: b"# made by me, 2024\n" + csv(),
    "comments above and between": lambda: b"# 1\n" * 30 + lines(
        lambda rows: [rows[0], "# two", rows[1], "#", *rows[2:]]
    ),
    "numbers kept as text": lambda: lines(
        lambda rows: [rows[0], *(",".join(f'="{c}"' for c in row.split(",")) for row in rows[1:])]
    ),
    "measures in British": lambda: csv().replace(b"measures_", b"behaviour_"),
    "zip of a Mac": lambda: zipped(csv(), "a.csv", ".DS_Store"),
    "Parquet of text views": lambda: as_type(pa.string_view()),
    "a hash before the header": lambda: b"# " + csv(),
    "capitals and blanks in the header": lambda: lines(
        lambda rows: [rows[0].title().replace(",", " , "), *rows[1:]]
    ),
    "further columns twice": lambda: lines(
        lambda rows: [rows[0] + ",note,note", *(row + ",1,2" for row in rows[1:])]
    ),
    "Parquet": with_columns,
    "Parquet beside columns of all kinds": lambda: with_columns(**FOREIGN_COLUMNS),
    "Parquet, further columns twice": lambda: with_columns("x", x=RAGGED),
    "Parquet of decimals": lambda: as_type(pa.decimal128(20, 5)),
    "Parquet of dictionaries": lambda: as_type(pa.dictionary(pa.int32(), pa.float64())),
    "Parquet of text": lambda: as_type(pa.string()),
    "Parquet of lists": lambda: vectors(lambda rows: pa.array(rows.tolist())),
    "Parquet of large lists": lambda: vectors(
        lambda rows: pa.array(rows.tolist(), pa.large_list(pa.float64()))
    ),
    "Parquet of lists of one size": lambda: vectors(fixed),
    "Parquet of lists in lists": lambda: vectors(lambda rows: pa.array(rows[:, None].tolist())),
    "Parquet of tensors": lambda: vectors(
        lambda rows: pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(rows))
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", READ)
def test_an_archive_is_read_in_every_form(tmp_path, form):
    path = tmp_path / "elites.some"  # what it is, its bytes say
    path.write_bytes(READ[form]())
    found = read_foreign(path)
    np.testing.assert_array_equal(found.solutions, FRAME.filter(like="solution_").astype("f4"))
    np.testing.assert_array_equal(found.measures, FRAME.filter(like="measures_").astype("f4"))
    np.testing.assert_array_equal(found.objective, FRAME["objective"].astype("f4"))
    np.testing.assert_array_equal(found.policy_ids, FRAME["index"])
    assert not found.notes


def test_cells_of_several_lines_are_read_whatever_the_size(tmp_path):
    path = tmp_path / "elites.csv"
    path.write_bytes(several_lines())
    assert path.stat().st_size > 1 << 20
    found = read_foreign(path)
    assert found.solutions.shape == (800, 302) and found.policy_ids.tolist()[-1] == 806


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("empty", [False, True])
def test_an_archive_without_objective_has_objective_0_and_says_so(tmp_path, suffix, empty):
    path = tmp_path / f"elites.{suffix}"
    frame = FRAME.assign(objective=np.nan) if empty else FRAME.drop(columns="objective")
    if suffix == "npz":
        vectors = {k: FRAME.filter(like=f"{k}_").to_numpy() for k in ("solution", "measures")}
        np.savez(path, **vectors)
    else:
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    found = read_foreign(path)
    assert (found.objective == 0).all() and len(found.objective) == N
    assert ["no objective" in note for note in found.notes] == [True]


def test_empty_cells_of_qdax_are_left_out_of_tables_too(tmp_path):
    path = tmp_path / "repertoire.csv"
    path.write_bytes(csv(pd.concat([FRAME, FRAME.assign(objective=-np.inf, index=-1)])))
    found = read_foreign(path)
    assert len(found.objective) == N and found.empty == N


def frame_with(row: int, column: str, value) -> bytes:
    return csv(FRAME.astype(object).pipe(lambda f: f.assign(**{
        column: [value if i == row else v for i, v in enumerate(f[column])]})))  # fmt: skip


class Bomb:
    def __reduce__(self):
        return (print, ("exploded",))


def torch_file() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        bundle.writestr("archive/data.pkl", pickle.dumps([1]))
    return file.getvalue()


def saved(save, *arrays, **named) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


OBJECTS = np.array([Bomb(), None], dtype=object)
REFUSED = {
    "negative ids": (frame_with(3, "index", -4), "'index', row 3: found -4"),
    "a word": (frame_with(2, "solution_1", "high"), "'solution_1', row 2: found 'high'"),
    "a hole": (frame_with(2, "measures_1", None), "'measures_1', row 2: found nothing"),
    "an infinite number": (frame_with(2, "measures_1", "inf"), "'measures_1', row 2: found inf"),
    "digits of other scripts": (csv().decode().translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
                                                         ).encode(), "no columns"),
    "a column twice": (lines(lambda rows: [rows[0] + ",objective", *rows[1:]]), "stands twice"),
    "commas of both kinds": (
        csv(FRAME.assign(measures_0="1,234.5", measures_1="0,5")), "thousands in '1,234.5'"
    ),
    "commas of unknown kind": (csv(FRAME.assign(measures_0="1,234")), "thousand or a decimal"),
    "an unquoted comma": (lines(lambda rows: [rows[0], rows[1] + ",1,2", *rows[2:]]), "cells"),
    "lists cut by NumPy": (
        lists(lambda row: str(np.arange(3000))), "cut by NumPy's printing"
    ),
    "lists of several lengths": (
        lists(lambda row: json.dumps([0] * (1 + int(row[0] > 0)))), "several lengths"
    ),
    "binary weights": (vectors(lambda rows: pa.array([row.tobytes() for row in rows])), "binary"),
    "dates for weights": (
        vectors(lambda rows: pa.array([datetime(2024, 1, 1)] * len(rows))), "timestamp"
    ),
    "half a Parquet": (with_columns()[:-100], "truncated"),
    "structures for weights": (
        vectors(lambda rows: pa.array([{"a": 1.0}] * len(rows))), "struct"
    ),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG picture"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG picture"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "Feather": (b"ARROW1\0\0" + bytes(100), "Feather"),
    "SQLite": (b"SQLite format 3\0" + bytes(100), "SQLite"),
    "PDF": (b"%PDF-1.7\n" + bytes(10), "PDF"),
    "MATLAB": (b"MATLAB 5.0 MAT-file" + bytes(100), "MATLAB"),
    "an old workbook": (b"\xd0\xcf\x11\xe0" + bytes(100), "office program"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "a web page": (b"\n <!DOCTYPE html><p>404", "web page"),
    "JSON": (b'{"solution": [1]}', "JSON"),
    "a workbook": (zipped(b"x", "xl/workbook.xml"), "office program"),
    "a zip of much": (zipped(csv(), "a.csv", "b.csv"), "2 files"),
    "zeros": (bytes(5000), "no kind known"),
    "an object array": (saved(np.save, OBJECTS), "one array"),
    "object arrays": (
        saved(np.savez, solutions=OBJECTS, objective=[1, 2], measures=[[1]] * 2), "pickles"
    ),
    "a pickle": (pickle.dumps(FRAME), "pickle"),
    "a packed pickle": (gzip.compress(pickle.dumps(FRAME)), "pickle"),
    "a model of torch": (torch_file(), "pickle"),
    "half a gzip": (gzip.compress(csv())[:-20], "broken"),
    "half a zip": (zipped(csv())[:-40], "zip"),
    "nothing but a mark": (b"\xef\xbb\xbf\n", "empty file"),
    "gzip of nothing": (gzip.compress(b""), "empty file"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_archive_gets_one_clear_line(tmp_path, form):
    data, expected = REFUSED[form]
    path = tmp_path / "elites.csv"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_foreign(path)
    text = str(caught.value)
    assert expected in text and str(path) in text and "\n" not in text and len(text) < 600
    assert "allow_pickle" not in text and "weights_only" not in text


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "elites.csv")
    with pytest.raises(InputError, match="is a device or pipe"):
        read_foreign(tmp_path / "elites.csv")


@pytest.mark.parametrize("name", ["a.pkl", "a.pkl.gz", "a.pt", "a.PTH", "a.joblib", "a.p"])
def test_names_of_pickles_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(csv())
    with pytest.raises(InputError, match="a pickle, which can run any code"):
        read_foreign(tmp_path / name)
