"""Damaged files for every reader: each is read, or refused in one line, within some seconds.

    python tests/fuzzing.py 10000        # so many files, shared out among the readers

Files are whole ones with bytes flipped, cut out, doubled, or exchanged for values that break
programs. Nothing but `InputError` may come out of a reader; warnings are allowed.
"""

import json
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from payloads import PAYLOADS
from pydantic import BaseModel

import envs
from archive_tools.archive.elites import Archive, load_archive
from archive_tools.archive.readers import read_foreign
from archive_tools.descriptions.given_texts import read_given
from archive_tools.files.tables import read_json, read_table
from archive_tools.llm.batch_api import take_in
from archive_tools.llm.config import LlmConfig
from archive_tools.llm.ledger import Ledger
from archive_tools.llm.replies import Price, read_reply, reply_of
from archive_tools.rating.ratings import read_lines
from archive_tools.recordings import minari_arrays
from envs.pbm import read_pbm, write_pbm
from envs.pictures.svg import read_picture
from envs.plane import load_plane
from nanodt.data.folder import load_dataset
from nanodt.errors import InputError as PolicyError
from nanodt.family.sources import load_episodes
from nanodt.files import read_weights, save_weights

SLOW = 5.0
"""Seconds after which a reader counts as hanging."""
VALUES = (b"", b"nan", b"-1", b"1e999", b"0", b"99999999999999999999", b"null", b"[]", b"{}",
          b'"', b"'", b"\0", b"\xff", b"\n", b"\r\n", b",", b";", b"[" * 3000, b"<!--", b"&a;",
          b"true", b"1e-400", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"4294967295",
          b"../../x")  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """One reader, and whole files for it to begin with."""

    name: str
    """Of the file that is damaged, in a folder of its own."""
    read: Callable[[Path], Any]
    seeds: tuple[bytes, ...]
    beside: tuple[tuple[str, bytes], ...] = ()
    """Files that stay whole."""


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A file as it came through a bad line, an editor, or a bad mind."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        place = rng.randrange(len(out) + 1)
        length = min(rng.choice((1, 2, 4, 8, 64, 500)), len(out) - place)
        kind = rng.randrange(8)
        if kind == 0 and out:
            out[min(place, len(out) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[place : place + length] = rng.randbytes(length)
        elif kind == 2:
            del out[place : place + length]
        elif kind == 3:
            out[place:place] = out[place : place + length]
        elif kind == 4:
            del out[place:]
        elif kind == 5:
            out[place : place + length] = rng.choice(VALUES)
        else:  # a number or a word of the file becomes another
            found = [m.span() for m in re.finditer(rb"[\w.+-]+", bytes(out[:20_000]))]
            if found:
                begin, end = rng.choice(found)
                out[begin:end] = rng.choice(VALUES)
    return bytes(out)


class Hangs(BaseException):
    """A reader took too long."""


def _alarm(*_: Any) -> None:
    raise Hangs


def attempt(reader: Reader, data: bytes, folder: Path) -> str | None:
    """What is wrong with how a reader takes a file; None where all is well."""
    path = folder / reader.name
    for name, content in reader.beside:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    begin = time.perf_counter()
    previous = signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, SLOW)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except (envs.InputError, PolicyError) as error:
        if "\n" in str(error) or len(str(error)) > 10_000:
            return f"not one line: {str(error)[:300]!r}"
    except Hangs:
        return f"took longer than {time.perf_counter() - begin:.1f} s"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return None


def try_readers(readers: dict[str, Reader], count: int, seed: int = 0) -> list[str]:
    """Complaints about `count` damaged files for each reader, and about whole ones."""
    complaints: list[str] = []
    root = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        for name, reader in readers.items():
            rng = random.Random(f"{name} {seed}")
            for number in range(-len(reader.seeds), count):
                whole = reader.seeds[number % len(reader.seeds)]
                data = whole if number < 0 else damaged(whole, rng)
                found = attempt(reader, data, root / name)
                if found is not None:
                    complaints.append(f"{name}, file {number}: {found}")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return complaints


class Said(BaseModel):
    """A reply of a model."""

    text: str


def _archive_files(folder: Path) -> dict[str, bytes]:
    """An archive of three elites in every form."""
    rng = np.random.default_rng(0)
    solutions, measures = rng.normal(size=(3, 4)).round(3), rng.uniform(0, 600, (3, 2)).round(3)
    frame = pd.DataFrame({f"solution_{i}": solutions[:, i] for i in range(4)})
    frame = frame.assign(objective=[0.1, 0.2, 0.3], index=[4, 5, 6], note='a, "b"')
    frame[["measures_0", "measures_1"]] = measures
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_csv(folder / "b.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    frame.to_csv(folder / "c.csv", index=False, compression="gzip")
    frame.to_parquet(folder / "a.parquet")
    np.savez(folder / "a.npz", solutions=solutions, objective=[0.1] * 3, measures=measures)
    np.savez_compressed(folder / "b.npz", solutions=solutions, measures=measures)
    for name, array in (("genotypes", solutions), ("fitnesses", np.ones(3)),
                        ("descriptors", measures)):  # fmt: skip
        np.save(folder / f"{name}.npy", array)
    info = {"measures": {"names": ["x", "y"]}, "controller": {}, "task": {}}
    Archive(np.arange(3), np.ones(3), measures, solutions, info).save(folder / "run")
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _world_files(folder: Path) -> dict[str, bytes]:
    world = envs.load_world("apartment")
    envs.save_world(world, folder / "world")
    files = {p.name: p.read_bytes() for p in (folder / "world").iterdir()}
    write_pbm(folder / "small.pbm", np.zeros((16, 16), bool))
    files["small.pbm"] = (folder / "small.pbm").read_bytes()
    files["world.xml"] = (
        b'<?xml version="1.0"?><fastsim><map name="small.pbm" size="160"/><robot x="80" y="80" '
        b'theta="30" diameter="5"/><goal x="30" y="30" diameter="9"/><laser angle="45" range="9"/>'
        b"</fastsim>"
    )
    return files


def _policy_files(folder: Path) -> dict[str, bytes]:
    """A dataset of nanodt, an npz of episodes, weights, and Minari data."""
    flat = lambda n, d: [np.zeros(n * d, "f4").tolist()] * 2  # noqa: E731
    rows = {"trajectory_id": [0, 1], "length": [3, 3], "bd": flat(1, 2), "obs": flat(4, 5)}
    rows |= {"action": flat(3, 2), "split": ["train", "test"], "texts": [["go"], ["stop"]]}
    pq.write_table(pa.table(rows), folder / "trajectories.parquet")
    info = {"n_obs": 5, "n_act": 2, "n_bd": 2, "steps": 3, "action_low": [-4, -4],
            "action_high": [4, 4], "bd_low": [0, 0], "bd_high": [9, 9]}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(info))
    np.savez(folder / "episodes.npz", length=[2, 1], info=json.dumps({"actions": 2}),
             **{"steps/obs": np.zeros((3, 2)), "each/bd": np.zeros((2, 2))})  # fmt: skip
    save_weights(folder / "a.safetensors", {"a": torch.zeros(3, 2), "b": torch.ones(1)}, {"c": "d"})
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def _take_in(path: Path) -> None:
    with Ledger(path.with_name("ledger.sqlite")) as ledger:
        take_in(path, LlmConfig(run=path.parent, model="m"), ledger)


def _read_reply(path: Path) -> None:
    raw = path.read_text(encoding="utf-8", errors="replace")
    read_reply(reply_of(raw, "prompt", Price(1.0, 1.0)), Said)


def make_readers() -> dict[str, Reader]:
    """Every reader of files that users bring along."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("archive", "world", "policy"):
            (folder / part).mkdir()
        archive = _archive_files(folder / "archive")
        world, policy = _world_files(folder / "world"), _policy_files(folder / "policy")
    pictures = tuple((n, d) for n, d in world.items() if n.endswith(".svg"))
    qdax = tuple((n, d) for n, d in archive.items() if n.endswith(".npy"))
    completion = {"id": "1", "choices": [{"finish_reason": "stop", "message": {
        "content": '{"text": "Go."}'}}], "usage": {"prompt_tokens": 1}}  # fmt: skip
    batch = {"custom_id": "k", "response": {"status_code": 200, "body": completion}, "error": None}
    plane = b'x = {obs = 0, range = [0, 1]}\ny = {obs = 1, range = [0, 1]}\n[tiles]\nrows=[["a"]]\n'
    space = json.dumps({"type": "Box", "dtype": "float32", "shape": [2], "low": [-1, -1],
                        "high": [1, 1]})  # fmt: skip
    minari = json.dumps({"data_format": "parquet", "observation_space": space,
                         "action_space": space, "jpeg_encoding": False})  # fmt: skip
    sink = pa.BufferOutputStream()
    step = {"observations": [[0.0, 0.0]] * 3, "actions": [[0.0, 0.0]] * 3, "rewards": [0.0] * 3,
            "terminations": [False] * 3, "truncations": [False] * 3}  # fmt: skip
    lists = pa.list_(pa.float32(), 2)
    kinds = [lists, lists, pa.float64(), pa.bool_(), pa.bool_()]
    pq.write_table(pa.table({k: pa.array(v, t) for (k, v), t in
                             zip(step.items(), kinds, strict=True)}), sink)  # fmt: skip
    episode = sink.getvalue().to_pybytes()
    texts = b'trajectory_id,text,style\n1,"Go to the sofa, please.",everyday\n2,Stop.,everyday\n'
    lines = b'{"trajectory_id": 1, "text": "Go."}\n{"trajectory_id": 2, "text": "Stop."}\n'

    def given(path: Path) -> None:
        read_given(path, [1, 2])

    return {
        "archive, CSV": Reader(
            "a.csv", read_foreign, (archive["a.csv"], archive["b.csv"], archive["c.csv"])
        ),
        "archive, Parquet": Reader("a.parquet", read_foreign, (archive["a.parquet"],)),
        "archive, npz": Reader("a.npz", read_foreign, (archive["a.npz"], archive["b.npz"])),
        "archive, QDax": Reader(
            "genotypes.npy", lambda path: read_foreign(path.parent), (archive["genotypes.npy"],),
            qdax,
        ),
        "archive of a run": Reader(
            "elites.parquet", lambda path: load_archive(path.parent), (archive["elites.parquet"],),
            (("archive.json", archive["archive.json"]),),
        ),
        "table": Reader("a.parquet", read_table, (archive["elites.parquet"], archive["a.parquet"])),
        "JSON": Reader("a.json", read_json, (archive["archive.json"], b'["\xc3\xbc", 1e3, null]')),
        "world, TOML": Reader("world.toml", envs.load_world, (world["world.toml"],),
                              (*pictures, ("map.pbm", world["map.pbm"]))),
        "world, XML": Reader("world.xml", envs.load_world, (world["world.xml"],),
                             (("small.pbm", world["small.pbm"]),)),
        "plane": Reader("plane.toml", load_plane, (plane,)),
        "map": Reader("map.pbm", read_pbm, (world["map.pbm"], world["small.pbm"])),
        "picture": Reader("a.svg", read_picture, (
            *(data for _, data in pictures), *(svg.encode() for svg in PAYLOADS.values()))),
        "Batch results": Reader("r.jsonl", _take_in, (json.dumps(batch).encode() + b"\n",) * 2),
        "reply": Reader("r.json", _read_reply, (json.dumps(completion).encode(),)),
        "texts, CSV": Reader("t.csv", given, (texts,)),
        "texts, JSON": Reader("t.jsonl", given, (lines,)),
        "ratings": Reader("ada.jsonl", read_lines, (b'{"rater": "ada", "item": 1, "score": 3}\n',)),
        "weights": Reader("a.safetensors", lambda path: read_weights(path, "train it again"),
                          (policy["a.safetensors"],)),
        "dataset, Parquet": Reader(
            "trajectories.parquet", lambda path: load_dataset(path.parent),
            (policy["trajectories.parquet"],), (("dataset.json", policy["dataset.json"]),)),
        "dataset, JSON": Reader(
            "dataset.json", lambda path: load_dataset(path.parent), (policy["dataset.json"],),
            (("trajectories.parquet", policy["trajectories.parquet"]),)),
        "episodes": Reader("e.npz", lambda path: load_episodes(str(path)),
                           (policy["episodes.npz"],)),
        "Minari, metadata": Reader("data/metadata.json", _load_minari, (minari.encode(),),
                                   (("data/0/a.parquet", episode),)),
        "Minari, Parquet": Reader("data/0/a.parquet", _load_minari, (episode,),
                                  (("data/metadata.json", minari.encode()),)),
    }  # fmt: skip


def _load_minari(path: Path) -> None:
    root = next(p for p in path.parents if (p / "data").is_dir())
    minari_arrays(str(root))


if __name__ == "__main__":
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    every, start = make_readers(), time.perf_counter()
    tried, wrong = 0, []
    while tried < total:  # rounds, so that a run cut short has been at every reader
        each = min(20, -(-(total - tried) // len(every)))
        found = try_readers(every, each, seed=tried)
        wrong += found
        tried += each * len(every)
        seconds = time.perf_counter() - start
        print("\n".join([*found, f"{tried:,} files, {len(every)} readers, {seconds:.0f} s, "
                         f"{len(wrong)} complaints"]), flush=True)  # fmt: skip
    sys.exit(bool(wrong))
