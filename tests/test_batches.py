"""Results of batches as other tools write them, of another run, or all of them unusable."""

import bz2
import gzip
import json
import lzma
import re

import pytest
from llm_server import reply_to
from text_factory import annotated_run

from archive_tools.llm import batch_api
from archive_tools.llm.ledger import Ledger
from archive_tools.stages.s04_describe import DescribeConfig, run
from envs import InputError


def result_of(line, **response):
    """A result as OpenAI writes it."""
    content, finish = reply_to(line["body"]["messages"][0]["content"], faults=False)
    body = {"choices": [{"message": {"content": content}, "finish_reason": finish}]}
    return {"custom_id": line["custom_id"], "error": None,
            "response": {"status_code": 200, "body": body, **response}}  # fmt: skip


def _fireworks(line):
    return {"custom_id": line["custom_id"], "response": result_of(line)["response"]["body"]}


def _anthropic(line):
    text = result_of(line)["response"]["body"]["choices"][0]["message"]["content"]
    message = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
    return {"custom_id": line["custom_id"], "result": {"type": "succeeded", "message": message}}


def _separator(line):
    found = result_of(line)
    choice = found["response"]["body"]["choices"][0]
    choice["message"]["content"] = choice["message"]["content"].replace(".", ".\u2028")
    return found


def in_lines(results, end="\n"):
    return end.join(json.dumps(r, ensure_ascii=False) for r in results) + end


RESULTS = {
    "U+2028": lambda lines: in_lines(map(_separator, lines)),
    "CR LF and a byte order mark": lambda lines: "\ufeff" + in_lines(map(result_of, lines), "\r\n"),
    "CR": lambda lines: in_lines(map(result_of, lines), "\r"),
    "over several lines": lambda lines: "\n".join(
        json.dumps(result_of(x), indent=1) for x in lines
    ),
    "in one line": lambda lines: in_lines(map(result_of, lines), ""),
    "an object of them": lambda lines: json.dumps({"data": list(map(result_of, lines))}),
    "ids with blanks": lambda lines: in_lines(
        {**result_of(x), "custom_id": f" {x['custom_id']}\t"} for x in lines
    ),
    "a number for an id": lambda lines: in_lines(
        [*map(result_of, lines), {**result_of(lines[0]), "custom_id": 7}]
    ),
    "an array": lambda lines: json.dumps(list(map(result_of, lines)), indent=1),
    "no body": lambda lines: in_lines(map(_fireworks, lines)),
    "messages": lambda lines: in_lines(map(_anthropic, lines)),
    "status as text": lambda lines: in_lines(result_of(x, status_code="200") for x in lines),
    "body as text": lambda lines: in_lines(
        result_of(x, body=json.dumps(result_of(x)["response"]["body"])) for x in lines
    ),
    "a line cut off": lambda lines: in_lines(map(result_of, lines)) + '{"custom_id": "x", "resp',
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run of 12 with the requests of its first export."""
    folder = tmp_path_factory.mktemp("batch")
    annotated_run(folder / "r", 12)
    run(DescribeConfig(run=folder / "r", model="m", batch_export=folder / "out"))
    [file] = (folder / "out").glob("*.jsonl")
    return folder, [json.loads(line) for line in file.read_text().splitlines()]


def take_in(exported, tmp_path, text):
    folder, _ = exported
    (tmp_path / "result.jsonl").write_text(text, encoding="utf-8", newline="")
    options = {"run": folder / "r", "model": "m", "ledger": tmp_path / "l"}
    run(DescribeConfig(**options, batch_export=tmp_path / "more",
                       batch_import=(tmp_path / "result.jsonl",)))  # fmt: skip


@pytest.mark.parametrize("form", RESULTS)
def test_results_are_taken_in_as_other_tools_write_them(exported, tmp_path, capsys, form):
    take_in(exported, tmp_path, RESULTS[form](exported[1]))
    told = capsys.readouterr()
    assert "0 requests in 0 files" in told.out
    assert re.search("12 of 1[23] replies answer a request of this run", told.err)


def test_results_of_another_run_are_refused(exported, tmp_path, capsys):
    results = [{**result_of(x), "custom_id": f"request-{k}"} for k, x in enumerate(exported[1])]
    with pytest.raises(InputError, match=r"none of the 12 replies answers a request of this run"):
        take_in(exported, tmp_path, in_lines(results))
    assert not (tmp_path / "more").exists()
    with Ledger(tmp_path / "l") as ledger:
        assert len(ledger) == 0
    results[:5] = map(result_of, exported[1][:5])
    take_in(exported, tmp_path, in_lines(results))
    told = capsys.readouterr()
    assert "5 of 12 replies answer" in told.err and "7 requests in 1 files" in told.out
    with pytest.raises(InputError, match="holds requests, as --batch-export writes them"):
        take_in(exported, tmp_path, in_lines(exported[1]))


def test_results_that_are_all_cut_off_are_not_asked_for_again(exported, tmp_path):
    cut = {"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}
    with pytest.raises(InputError, match=r"first 8 replies.*larger --max-tokens"):
        take_in(exported, tmp_path, in_lines(result_of(x, body=cut) for x in exported[1]))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_results_are_read_and_what_failed_says_why(tmp_path, capsys, pack):
    reasons = (
        {"response": {"status_code": 429, "body": {"error": {"message": "too fast"}}}},
        {"response": None, "error": {"code": "batch_expired", "message": "window expired"}},
        {"result": {"type": "errored", "error": {"type": "invalid", "message": "bad prompt"}}},
        {"result": {"type": "expired"}},
    )
    path = tmp_path / "r.jsonl"
    for reason, said in zip(reasons, ("too fast", "window expired", "bad prompt", "expired"),
                            strict=True):  # fmt: skip
        path.write_bytes(pack(in_lines([{"custom_id": "a" * 64, **reason}]).encode()))
        with Ledger(tmp_path / "l") as ledger:
            assert batch_api.take_in(path, DescribeConfig(run=tmp_path, model="m"), ledger) == set()
        assert f"1 requests failed, the first: {said}" in capsys.readouterr().err
    for broken, says in ((b"", "no results"), (pack(b"x" * 99)[:-9], "cannot be read")):
        path.write_bytes(broken)
        with Ledger(tmp_path / "l") as ledger, pytest.raises(InputError, match=says):
            batch_api.take_in(path, DescribeConfig(run=tmp_path, model="m"), ledger)
