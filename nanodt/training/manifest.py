"""The manifest of a run's `model/` folder, as docs/formats.md describes it.

The stages of a run check each folder they read by its `manifest.json`. A model that
`python -m nanodt.train` wrote into a run gets the one that `scripts/07_train.py` would have written
with the same options, so that the later stages accept it, and that script finds it up to date.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shlex
import sys
from dataclasses import fields
from typing import Any

from nanodt.files import digest, read_json, write_json
from nanodt.training.options import TrainConfig, TrainOptions

MANIFEST = "manifest.json"
NOT_FINGERPRINT = {"log_every", "tracker", "device"}
"""Options that change no weight, and that stage 07 leaves out of its fingerprint."""


def inputs_of_run(config: TrainConfig) -> dict[str, str] | None:
    """Digests of what a model was made of, where it goes into the `model/` folder of a run whose
    stages wrote what it reads; None elsewhere."""
    run, found = config.folder.parent, {"dataset": config.data, "tokenizer": config.tokenizer}
    inputs = {}
    for name, path in found.items():
        manifest = run / name / MANIFEST
        if path is None or path.resolve() != (run / name).resolve() or not manifest.exists():
            return None
        inputs[name] = read_json(manifest, f"make {name}/ anew").get("digest")
    return inputs if config.folder.name == "model" and all(inputs.values()) else None


def write_manifest(
    config: TrainConfig, inputs: dict[str, str], facts: dict[str, Any], seconds: float
) -> None:
    """Write the manifest of a finished model into its folder, made of `inputs_of_run`."""
    folder, run = config.folder, config.folder.parent
    outputs = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST and not path.name.startswith(".")
    }
    options = {f.name: _plain(getattr(config, f.name)) for f in fields(TrainOptions)}
    options |= {"run": run.as_posix(), "redo": config.redo, "redo_changed": False}
    options |= {"preset": config.preset, "seed": config.seed}
    skip = {"run", "redo", "redo_changed", *NOT_FINGERPRINT}
    parts = {
        "options": {k: v for k, v in options.items() if k not in skip},
        "inputs": inputs,
        "extra": {},
        "version": version_of("wayword"),
    }
    manifest = {
        "stage": "model",
        "command": shlex.join(["python", *sys.argv]),
        "config": options,
        "seed": config.seed,
        "versions": {
            "python": platform.python_version(),
            **{name: version_of(name) for name in ("wayword", "torch", "numpy", "tokenizers")},
        },
        "inputs": inputs,
        "extra": {},
        "rows": {"steps": config.steps},
        "facts": facts,
        "outputs": outputs,
        "digest": _hash({name: entry["sha256"] for name, entry in outputs.items()}),
        "fingerprint": _hash({"stage": "model", **parts}),
        "parts": parts,
        "wall_time_s": round(seconds, 3),
    }
    write_json(folder / MANIFEST, manifest)


def version_of(package: str) -> str:
    """The installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
