"""The describe stage: without a key, with a server that misbehaves, killed, in batches."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from llm_server import reply_to, serving
from text_factory import APARTMENT, annotated_run
from werkzeug import Response

from archive_tools.files.tables import read_table
from archive_tools.language.checks import check_text
from archive_tools.llm.ledger import Ledger
from archive_tools.narrator.styles import STYLE_SHARES
from archive_tools.run.stage import read_manifest
from archive_tools.stages.s04_describe import DescribeConfig, run
from envs import InputError

ROOT = Path(__file__).parent.parent
COUNT = 300


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    return folder, annotated_run(folder, 40)


def rows_of(folder):
    return read_table(folder / "descriptions" / "descriptions.parquet")


def test_the_narrator_describes_every_trajectory(tmp_path):
    annotations = annotated_run(tmp_path / "a")
    run(DescribeConfig(run=tmp_path / "a"))
    rows = rows_of(tmp_path / "a")
    assert rows["trajectory_id"].tolist() == list(range(COUNT))
    assert set(rows["source"]) == {"narrator"} and set(rows["status"]) == {"accepted"}
    for row in rows.itertuples():
        assert check_text(row.text, annotations[row.trajectory_id], APARTMENT) == []
    shares = rows["style"].value_counts(normalize=True)
    assert max(abs(shares[style] - share) for style, share in STYLE_SHARES.items()) < 0.06
    facts = read_manifest(tmp_path / "a" / "descriptions")["facts"]
    assert facts["distinct_share"] >= 0.95 and facts["words_max"] <= 150
    assert set(facts["route_told"]) == set(STYLE_SHARES) and 15 < facts["words_mean"] < 35
    # The same run elsewhere gives the same bytes.
    annotated_run(tmp_path / "b")
    run(DescribeConfig(run=tmp_path / "b"))
    name = "descriptions/descriptions.parquet"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_several_descriptions_differ_and_keep_the_first(small):
    folder, _ = small
    run(DescribeConfig(run=folder, redo=True))
    before = rows_of(folder)
    run(DescribeConfig(run=folder, redo=True, per_trajectory=4))
    rows = rows_of(folder)
    assert len(rows) == 160
    assert rows.groupby("trajectory_id")["text"].nunique().min() == 4
    assert rows[rows["sample"] == 0]["text"].tolist() == before["text"].tolist()


def test_seed_vocabulary_and_shares_are_options(small):
    folder, _ = small
    base = {"run": folder, "redo": True}
    run(DescribeConfig(**base, seed=1))
    first = rows_of(folder)["text"].tolist()
    run(DescribeConfig(**base, seed=2))
    assert rows_of(folder)["text"].tolist() != first
    run(DescribeConfig(**base, vocabulary="held_out", styles=("past",)))
    assert set(rows_of(folder)["style"]) == {"past"}
    assert set(rows_of(folder)["source"]) == {"narrator/held_out"}


@pytest.mark.parametrize(
    "options",
    [
        {"per_trajectory": 0},
        {"styles": ("grumpy=1",)},
        {"styles": ("past=-1",)},
        {"styles": ("past=much",)},
        {"styles": ("past=0", "goal=0")},
        {"limit": -1},
        {"texts_where": ("part=train",)},
        {"dry_run": True},
        {"from_draft": True},
        {"model": "m", "max_usd": 1.0},
    ],
)
def test_bad_options_are_refused(small, options):
    with pytest.raises(InputError):
        run(DescribeConfig(run=small[0], redo=True, **options))


def test_a_model_describes_is_corrected_and_refused_rows_are_kept(small):
    folder, annotations = small
    with serving(faults=True) as server:
        config = {"run": folder, "redo": True, "model": "m", "base_url": server.base_url}
        run(DescribeConfig(**config, seed=5, reasks=0))
        strict = rows_of(folder)
        run(DescribeConfig(**config, seed=5, reasks=2))
        rows = rows_of(folder)
        with Ledger(folder / "ledger.sqlite") as ledger:
            assert server.answered().total() == len(ledger)
    assert set(strict["status"]) == {"accepted", "rejected"}
    assert set(rows["status"]) == {"accepted"} and set(rows["source"]) == {"m"}
    refused = strict[strict["status"] == "rejected"]
    assert (refused["reason"] != "").all()
    kept = strict[strict["status"] == "accepted"]
    assert kept["text"].tolist() == rows.loc[kept.index, "text"].tolist()
    for row in rows.itertuples():
        assert check_text(row.text, annotations[row.trajectory_id], APARTMENT) == []


def test_a_model_may_say_the_narrators_texts_in_other_words(small):
    """The prompt has the draft and no facts; a copy is refused."""
    folder, annotations = small
    run(DescribeConfig(run=folder, redo=True, seed=3))
    drafts = rows_of(folder)["text"].tolist()
    with serving() as server:
        run(
            DescribeConfig(run=folder, redo=True, seed=3, model="m", base_url=server.base_url,
                           from_draft=True, reasks=0, ledger=folder / "draft.sqlite")
        )  # fmt: skip
    rows = rows_of(folder)
    copies = rows["reason"].str.startswith("repeats what it was given, word for word")
    assert 5 < copies.sum() < 35 and set(rows["status"][copies]) == {"rejected"}
    assert (rows["status"][~copies] == "accepted").mean() > 0.7
    for draft, row in zip(drafts, rows.itertuples(), strict=True):
        if row.status == "accepted":
            assert draft.rstrip(".?").lower() in row.text.lower()
            assert check_text(row.text, annotations[row.trajectory_id], APARTMENT) == []


def test_concurrency_does_not_change_the_result(small):
    folder, _ = small
    found = []
    for concurrency in (1, 16):
        with serving(faults=True) as server:
            run(
                DescribeConfig(
                    run=folder,
                    redo=True,
                    model="m",
                    base_url=server.base_url,
                    concurrency=concurrency,
                    ledger=folder / f"ledger-{concurrency}.sqlite",
                )
            )
        found.append((folder / "descriptions" / "descriptions.parquet").read_bytes())
    assert found[0] == found[1]


def command(folder, server, *more):
    return [
        *(sys.executable, "scripts/04_describe.py", "--run", str(folder), "--model", "m"),
        *("--base-url", server.base_url, "--concurrency", "32", *more),
    ]


def test_kill_in_the_middle_then_again_pays_nothing_twice(tmp_path):
    count = 2000
    annotated_run(tmp_path / "killed", count)
    shutil.copytree(tmp_path / "killed", tmp_path / "whole")
    environment = {**os.environ, "OPENAI_API_KEY": "sk-secret-0123456789"}
    with serving(faults=True) as server:
        child = subprocess.Popen(
            command(tmp_path / "killed", server),
            **{"cwd": ROOT, "env": environment, "stderr": subprocess.DEVNULL},
        )
        deadline = time.monotonic() + 300
        while server.answered().total() < count // 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        time.sleep(0.3)  # the server still finishes what had reached it
        with Ledger(tmp_path / "killed" / "ledger.sqlite") as ledger:
            stored = len(ledger)
        before = server.answered()
        assert count // 3 < stored <= before.total()
        assert not (tmp_path / "killed" / "descriptions").exists()
        done = subprocess.run(
            command(tmp_path / "killed", server),
            **{"cwd": ROOT, "env": environment, "capture_output": True, "text": True},
        )
        assert done.returncode == 0, done.stderr
        answered = server.answered()
        with Ledger(tmp_path / "killed" / "ledger.sqlite") as ledger:
            needed = len(ledger)
    with serving(faults=True) as server:
        run(DescribeConfig(run=tmp_path / "whole", model="m", base_url=server.base_url,
                           concurrency=32))  # fmt: skip
        undisturbed = server.answered()
    # Only what was on its way when the process died was asked twice; nothing stored was.
    lost = before.total() - stored
    assert lost <= 32
    assert undisturbed.total() == needed
    assert (answered - undisturbed).total() == lost and not undisturbed - answered
    name = "descriptions/descriptions.parquet"
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"sk-secret" not in path.read_bytes(), path
    for hidden in ("sk-secret", "Leave the", "The drive, in order"):  # key, reply, prompt
        assert hidden not in done.stderr + done.stdout


def test_redo_with_the_same_options_pays_nothing(small):
    folder, _ = small
    with serving() as server:
        config = {"run": folder, "redo": True, "model": "m", "base_url": server.base_url}
        config["seed"] = 9
        ledger = folder / "redo.sqlite"
        run(DescribeConfig(**config, ledger=ledger))
        paid = server.answered().total()
        run(DescribeConfig(**config, ledger=ledger, max_words=149))
        assert server.answered().total() == paid + 40  # another prompt: another reply
        run(DescribeConfig(**config, ledger=ledger))
        assert server.answered().total() == paid + 40


def test_a_file_of_texts_that_cannot_be_used_is_told_before_anything_is_paid(small):
    folder, _ = small
    given = folder.parent / "given.csv"
    given.write_text("trajectory_id,txet\n0,Go to the fan.\n")
    with serving() as server:
        config = {"run": folder, "redo": True, "seed": 31, "model": "m", "texts": (given,)}
        with pytest.raises(InputError, match=r"given\.csv"):
            run(DescribeConfig(base_url=server.base_url, **config))
        assert server.answered().total() == 0


def test_dry_run_prints_three_prompts_and_a_price(small, capsys):
    folder, _ = small
    before = sorted(folder.rglob("*"))
    run(
        DescribeConfig(
            run=folder, model="m", dry_run=True, usd_per_million_in=1.0, usd_per_million_out=4.0
        )
    )
    out = capsys.readouterr().out
    assert out.count("--- trajectory") == 3 and out.count("The drive, in order:") == 3
    assert "40 texts: about" in out and "about $" in out
    assert sorted(folder.rglob("*")) == before


def test_the_estimate_comes_first_and_the_bar_shows_the_cost(small, capsys):
    folder, _ = small
    prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 4.0}
    with serving() as server:
        run(DescribeConfig(run=folder, redo=True, seed=21, model="m", base_url=server.base_url,
                           ledger=folder / "cost.sqlite", **prices))  # fmt: skip
    shown = capsys.readouterr().err
    spent = 41 * (100 * 1.0 + 10 * 4.0) / 1e6  # the probe too
    assert shown.index("40 texts: about") < shown.index("describe:")
    assert f"${spent:.4f}" in shown.rpartition("40/40")[2]
    assert read_manifest(folder / "descriptions")["facts"]["usd_in_ledger"] == pytest.approx(spent)


def batch_results(files, drop=0):
    """What the Batch API would answer: shuffled, the first `drop` requests without an answer."""
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    results = []
    for k, line in enumerate(lines):
        content, finish = reply_to(line["body"]["messages"][0]["content"], faults=True)
        body = {
            "choices": [{"message": {"content": content}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        }
        answer = {"status_code": 200, "body": body}
        if k < drop:
            answer = {"status_code": 500, "body": {}}
        results.append({"custom_id": line["custom_id"], "response": answer, "error": None})
    return lines, "\n".join(json.dumps(r) for r in reversed(results[drop // 2 :])) + "\n"


def test_batches_go_out_in_chunks_and_only_what_is_missing_goes_again(
    tmp_path, monkeypatch, capsys
):
    annotated_run(tmp_path / "r", 60)
    monkeypatch.setattr("archive_tools.llm.batch_api.LINES_PER_FILE", 25)
    out = tmp_path / "out"
    base = {"run": tmp_path / "r", "model": "m"}
    run(DescribeConfig(**base, batch_export=out))
    files = sorted(out.glob("*.jsonl"))
    assert [len(f.read_text().splitlines()) for f in files] == [25, 25, 10]
    first, results = batch_results(files, drop=10)
    assert len({line["custom_id"] for line in first}) == 60
    assert set(first[0]["body"]) >= {"model", "messages", "response_format"}
    imported, rounds = [], 0
    while first:
        (tmp_path / f"results-{rounds}.jsonl").write_text(results)
        imported.append(tmp_path / f"results-{rounds}.jsonl")
        run(DescribeConfig(**base, batch_export=out, batch_import=tuple(imported)))
        second, results = batch_results(sorted(out.glob("*.jsonl")))
        if rounds == 0:
            ids = {line["custom_id"] for line in second}
            assert {line["custom_id"] for line in first[:10]} <= ids
            assert not {line["custom_id"] for line in first[10:]} & ids
        first, rounds = second, rounds + 1
        assert rounds < 8
    # All is in the ledger now: no server is needed.
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    run(DescribeConfig(**base))
    rows = rows_of(tmp_path / "r")
    assert Counter(rows["status"])["accepted"] == 60


def test_no_accepted_text_replaces_nothing(tmp_path, httpserver):
    folder = tmp_path / "r"
    annotated_run(folder, 12)
    run(DescribeConfig(run=folder))
    before = (folder / "descriptions" / "manifest.json").read_bytes()
    said = iter(range(10**6))
    httpserver.expect_request("/v1/chat/completions").respond_with_handler(
        lambda request: Response(
            json.dumps({"choices": [{"message": {"content": json.dumps(
                {"text": "Go on." if next(said) % 2 else "Go past the dinosaur."})}}]}),
            content_type="application/json",
        )
    )  # fmt: skip
    with pytest.raises(InputError, match=r"no text was accepted: all 12 were refused, \d+ of them"):
        run(DescribeConfig(run=folder, redo=True, model="m", reasks=0, concurrency=1,
                           base_url=httpserver.url_for("/v1")))  # fmt: skip
    assert (folder / "descriptions" / "manifest.json").read_bytes() == before


def test_a_file_that_is_no_batch_result_is_named(small, tmp_path):
    (tmp_path / "x.jsonl").write_text('{"custom_id": "a"}\nnonsense\n')
    config = {"run": small[0], "redo": True, "model": "m", "ledger": tmp_path / "l"}
    with pytest.raises(InputError, match=r"x\.jsonl: line 2"):
        run(DescribeConfig(**config, batch_export=tmp_path, batch_import=(tmp_path / "x.jsonl",)))


def test_a_missing_earlier_stage_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=r"00_search"):
        run(DescribeConfig(run=tmp_path / "nothing"))
