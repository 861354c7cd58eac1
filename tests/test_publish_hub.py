"""Sending to the Hub and reading from it, against a stand-in on this machine."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hub_server import TOKEN, HubServer, reach
from nanodt_toy import record, write_dataset
from run_factory import make_records

import nanodt
from archive_tools.publishing import hub as hub_module
from archive_tools.publishing.hub import Hub, Parcel
from envs.errors import InputError
from nanodt.train import main as train

ROOT = Path(__file__).parents[1]
TRAINING = ["--block-size", "60", "--steps", "2", "--n-layer", "1", "--n-head", "2", "--n-embd"]
TRAINING += ["16", "--batch-size", "4", "--score-items", "0", "--device", "cpu"]


@pytest.fixture
def hub(httpserver, monkeypatch, tmp_path):
    server = HubServer(httpserver)
    reach(server, monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(hub_module.time, "sleep", lambda seconds: None)
    return server


@pytest.fixture
def parcel(tmp_path):
    folder = tmp_path / "made"
    rng = np.random.default_rng(0)
    for k in range(5):
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "data" / f"{k}.parquet").write_bytes(rng.bytes(3000 if k % 2 else 300))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# x\n")
    (folder / "manifest.json").write_text("{}")
    return Parcel(folder, "ada/x", "dataset", "v3.0")


def commits(hub: HubServer) -> int:
    return sum("/commit/" in line for line in hub.asked)


def test_only_what_lacks_is_sent(hub, parcel, monkeypatch):
    assert Hub(0).send(parcel, private=True) == 6
    there = hub.repositories["dataset", "ada/x"]
    assert there.files == {name: path.read_bytes() for name, path in parcel.files.items()}
    assert "manifest.json" not in there.files and there.large == {
        "data/1.parquet",
        "data/3.parquet",
    }
    assert there.tags == {"v3.0": there.sha}
    before = commits(hub)
    assert Hub(0).send(parcel, private=True) == 0
    assert commits(hub) == before
    (parcel.folder / "data" / "1.parquet").write_bytes(b"0" * 3000)
    (parcel.folder / "data" / "4.parquet").unlink()
    there.files["notes.md"] = b"somebody's own"
    assert Hub(0).send(parcel, private=True) == 1
    assert there.files["data/1.parquet"] == b"0" * 3000 and "notes.md" in there.files
    assert "data/4.parquet" not in there.files and there.tags == {"v3.0": there.sha}


def test_an_interrupted_upload_goes_on(hub, parcel, monkeypatch):
    monkeypatch.setattr(hub_module, "FILES", 2)
    hub.mishaps = [("POST", "/preupload/", 400)]
    with pytest.raises(InputError, match=r"ada/x: .*HTTP 400"):
        Hub(0).send(parcel, private=False)
    assert commits(hub) == 0
    real, count = Hub._commit, []

    def stop(self, *arguments):
        if len(count) == 2:
            raise KeyboardInterrupt
        count.append(1)
        return real(self, *arguments)

    monkeypatch.setattr(Hub, "_commit", stop)
    with pytest.raises(KeyboardInterrupt):
        Hub(0).send(parcel, private=False)
    assert len(hub.repositories["dataset", "ada/x"].files) == 4 and commits(hub) == 2
    monkeypatch.setattr(Hub, "_commit", real)
    assert Hub(0).send(parcel, private=False) == 2
    assert commits(hub) == 3


def test_a_connection_that_breaks_once_is_made_again(hub, trained, monkeypatch):
    monkeypatch.setattr("nanodt.files.time.sleep", lambda seconds: None)
    Hub(0).send(Parcel(trained / "model", "ada/toy", "model"), private=False)
    hub.mishaps = [("HEAD", "config.json", 0), ("GET", "/api/models/", 0)]
    assert nanodt.load("ada/toy").network.state_dict() and not hub.mishaps
    hub.repositories["model", "ada/toy"].commits += 1
    hub.mishaps = [("HEAD", "", 0), ("GET", "/api/models/", 0)] * 100
    with pytest.raises(nanodt.InputError, match="not on the Hub"):
        nanodt.load("ada/other")


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (401, "HF_TOKEN"),
        (403, "may not write"),
        (404, "no such user or organisation"),
        (409, "somebody else is changing it; run the same command again"),
        (413, "too large"),
        (429, "fewer requests"),
        (500, "out of order"),
        (503, "out of order"),
    ],
)
def test_what_the_hub_refuses_is_a_line(hub, parcel, capsys, status, line):
    place = "/commit/" if status in (409, 413) else "/repos/create"
    hub.mishaps = [("POST", place, status)] * 9
    with pytest.raises(InputError) as caught:
        Hub(4).send(parcel, private=False)
    said = str(caught.value)
    assert said.startswith("ada/x: ") and line in said and f"HTTP {status}" in said
    assert "\n" not in said and TOKEN not in said + "".join(capsys.readouterr())
    waited = 2 if status == 429 or status >= 500 else 0  # 1 and 2 seconds, of 4
    assert len(hub.mishaps) == 9 - 1 - waited


def test_a_busy_hub_is_waited_for(hub, parcel, capsys):
    hub.mishaps = [("POST", "/repos/create", 429), ("POST", "/commit/", 503)]
    assert Hub(10).send(parcel, private=False) == 6
    assert capsys.readouterr().err.count("waiting") == 2
    assert hub.tokens - {None} == {f"Bearer {TOKEN}"}  # files go to addresses signed by it


def test_a_hub_that_is_not_there_is_a_line(hub, parcel, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(InputError, match=r"^ada/x: the Hub does not answer"):
        Hub(2).send(parcel, private=False)
    monkeypatch.setattr(hub_module, "get_token", lambda: None)
    with pytest.raises(InputError, match=r"^no token for the Hub; .*HF_TOKEN$"):
        Hub(2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A published dataset of the toy world, with its tokenizer, and a model trained on it."""
    folder = tmp_path_factory.mktemp("toy")
    data = write_dataset(folder / "data", record(12))
    (data / "data").mkdir()
    whole = data / "trajectories.parquet"
    table = pq.read_table(whole)
    for split in ("train", "validation", "test"):
        part = table.filter(pc.field("split") == split)
        pq.write_table(part, data / "data" / f"{split}.parquet")
    whole.unlink()
    texts = [text for row in table["texts"].to_pylist() for text in row]
    (data / "tokenizer").mkdir()
    nanodt.train_tokenizer(texts, 300).save(data / "tokenizer" / "tokenizer.json")
    (data / "README.md").write_text("---\nlicense: mit\n---\n")
    assert train(["--data", str(data), "--out", str(folder / "model"), *TRAINING]) == 0
    return folder


def test_models_and_datasets_of_the_hub_are_read(hub, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Hub(0).send(Parcel(trained / "data", "ada/toy", "dataset"), private=False)
    Hub(0).send(Parcel(trained / "model", "ada/toy", "model"), private=False)
    own = nanodt.load(trained / "model").network.state_dict()
    found = nanodt.load("ada/toy").network.state_dict()
    assert all(np.array_equal(own[name], found[name]) for name in own)
    assert train(["--data", "ada/toy", "--out", str(tmp_path / "model"), *TRAINING]) == 0
    weights = "model.safetensors"
    assert (tmp_path / "model" / weights).read_bytes() == (trained / "model" / weights).read_bytes()
    assert train(["--data", "ada/toy", *TRAINING]) == 2 and "--out" in capsys.readouterr().err
    # A folder of that name here wins, and a changed file of the Hub's is told.
    hub.repositories["model", "ada/toy"].files["config.json"] += b" "
    nanodt.load("ada/toy")  # laid out otherwise, the same content
    config = hub.repositories["model", "ada/toy"].files["config.json"]
    hub.repositories["model", "ada/toy"].files["config.json"] = config.replace(b"60", b"61")
    hub.repositories["model", "ada/toy"].commits += 1
    with pytest.raises(nanodt.InputError, match=r"config\.json was changed"):
        nanodt.load("ada/toy")
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "toy").symlink_to(trained / "model")
    asked = len(hub.asked)
    nanodt.load("ada/toy")
    assert len(hub.asked) == asked


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (401, "HF_TOKEN"),
        (404, "no such repository"),
        (429, "fewer requests"),
        (500, "out of order"),
    ],
)
def test_a_model_that_the_hub_gives_not_is_a_line(hub, monkeypatch, status, line):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.mishaps = [("GET", "/api/models/", status)] * 20
    with pytest.raises(nanodt.InputError) as caught:
        nanodt.load("ada/none")
    said = str(caught.value)
    assert said.startswith("ada/none is no folder here") and line in said and "\n" not in said
    assert TOKEN not in said


def test_the_command_sends_to_the_hub(hub, tmp_path, monkeypatch, capsys):
    make_records(tmp_path / "runs", n=3)
    words = ["--run", str(tmp_path / "runs"), "--to", "hub", "--repo", "ada/x", "--license", "mit"]
    script = str(ROOT / "scripts" / "10_publish.py")
    monkeypatch.setattr(sys, "argv", [script, *words, "--what", "lerobot", "bundle"])
    hub.mishaps = [("POST", "/repos/create", 401)]
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(script, run_name="__main__")
    error = capsys.readouterr().err.splitlines()[-1]
    assert caught.value.code == 2 and error.startswith("error: ada/x-lerobot: the Hub does not")
    runpy.run_path(script, run_name="__main__")
    printed = "".join(capsys.readouterr())
    assert "of them sent" in printed and TOKEN not in printed
    found = hub.repositories["dataset", "ada/x-lerobot"]
    assert "meta/info.json" in found.files and "v3.0" in found.tags
    assert "runs.tar.gz" in hub.repositories["dataset", "ada/x-bundle"].files
