"""The parts of the report by themselves: words, charts, experiments, tables for papers."""

import re
from xml.etree import ElementTree

import pytest

from archive_tools.files.tables import write_json
from archive_tools.report import canvas, charts, formatting
from archive_tools.report.experiments import experiments
from archive_tools.report.figures import training_panels
from archive_tools.report.gallery import common, sentence
from archive_tools.report.tables import Figures, lede
from archive_tools.run.training_log import read_log


def test_markup_in_a_text_stays_text():
    parts = sentence("Stop at <DESCRIPTOR>, <b>now</b>.", [10.2, 20.0])
    assert parts == [("Stop at ", False), ("(10, 20)", True), (", <b>now</b>.", False)]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "It reads the text"), (-0.1, 0.2, "no sign"), (-0.2, -0.1, "misleads")],
)
def test_lede_says_what_the_interval_says(low, high, words):
    def record(system, metric, mean, low, high, **more):
        return {"system": system, "metric": metric, "mean": mean, "ci_low": low, "ci_high": high,
                "n": 9, **more}  # fmt: skip

    records = [
        record("nanodt", "bd_error_median", 7.3, 6, 8),
        record("nanodt", "bd_success", 0.4, 0.3, 0.5),
        record("nanodt", "contrast", 0.55, 0.45, 0.65),
    ]
    paired = [record("nanodt", "route_lcs", (low + high) / 2, low, high, minus="nanodt/text_off")]
    text = " ".join(lede(Figures(records, paired)))
    assert words in text and "7.3 % [6.0, 8.0]" in text and "no better than guessing" in text
    assert "only baselines" in lede(Figures([], []))[0]


def test_common_marks_the_longest_common_subsequence():
    marks = common(["red", "sofa", "blue"], ["red", "blue", "bed"])
    assert marks == ([True, False, True], [True, True, False])
    assert common([], ["a"]) == ([], [False])


def test_charts_keep_marks_and_labels_inside():
    rows = [charts.Dot("policy", 0.5, 0.4, 0.6, "policy"), charts.Dot("$<x>", 2, 1.5, 3, "control")]
    picture = charts.dot_chart("T", "n", rows, limits=(0, 1), chance=0.5)
    tree = ElementTree.fromstring(picture)
    uses = [e for e in tree.iter() if e.tag.endswith("}use")]
    places = [float(e.get("x")) for e in uses]
    assert places == pytest.approx([118 + 0.5 * 178, 296])  # beyond the axis: at its end
    words = ["".join(e.itertext()) for e in tree.iter() if e.tag.endswith("}text")]
    assert {"T", "n", "policy", "$<x>", "0.50", "2.00", "0.25"} <= set(words), "text stays text"
    assert picture == charts.dot_chart("T", "n", rows, limits=(0, 1), chance=0.5)
    spread = charts._spread([10, 11, 50], 14)
    assert spread[1] - spread[0] >= 14 and spread[2] - spread[1] >= 14


def test_charts_take_their_colours_from_the_page():
    rows = [charts.Bar("archive", 3.0, "3 s"), charts.Bar("model", 9.0, "9 s")]
    picture = charts.bar_chart("Time", "", rows)
    assert "var(--policy)" in picture and "var(--muted)" in picture
    assert not re.search(r"#[0-9a-f]{6}", picture), "no colour is fixed"
    assert "<style" not in picture and "<metadata" not in picture and "DOCTYPE" not in picture
    for palette in (canvas.LIGHT, canvas.DARK):
        assert len(set(palette.values())) == len(palette)
        assert palette["policy"] in canvas.resolve(picture, palette)
        assert "var(" not in canvas.resolve(picture, palette)


def test_numbers_for_people():
    assert (
        formatting.fixed(-0.001, 2, signed=True) == "0.00" and formatting.fixed(-1.5, 1) == "−1.5"
    )
    assert formatting.figure(0.12345) == "0.123" and formatting.figure(float("nan")) == "–"


def test_curves_survive_odd_logs(tmp_path):
    log = tmp_path / "log.jsonl"
    assert training_panels(log) == []
    log.write_text('{"step": 1, "loss": 2.0}\n[1]\n{"loss": 1}\n{"step": 2, "loss": null}\n{"st')
    assert len(read_log(log)) == 2
    assert len(training_panels(log)) == 1


def test_curves_show_the_distances_and_not_their_errors(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(
        "".join(
            f'{{"step": {step}, "bd_error_median": 1, "bd_error_mean": 2, "bd_error_se": 0.1}}\n'
            for step in (1, 2)
        )
    )
    [panel] = training_panels(log)
    assert "median" in panel and "mean" in panel and ">se<" not in panel and "error se" not in panel


def records(**kinds):
    """Records as stage 09 writes them, one for each combination of the given values."""
    rows = [{}]
    for name, values in kinds.items():
        rows = [row | {name: value} for row in rows for value in values]
    return [
        row | {"mean": 0.5 + 0.01 * n, "ci_low": 0.4, "ci_high": 0.9, "n": 32}
        for n, row in enumerate(rows)
    ]


def test_experiments_show_what_there_is_and_only_that(tmp_path):
    assert experiments(tmp_path) == []
    systems, metrics = ("nanodt", "nearest_elite_both"), ("route_lcs", "bd_error_median", "new")
    write_json(tmp_path / "splits.json",
               records(name=("regions", "routes"), system=systems, metric=metrics))  # fmt: skip
    assert [part["key"] for part in experiments(tmp_path)] == ["splits"]
    write_json(tmp_path / "seeds.json",
               records(name=("seed 1", "seed 2"), system=systems, metric=metrics))  # fmt: skip
    write_json(
        tmp_path / "curve.json",
        [r | {"x": int(r["name"].split()[0])}
         for r in records(name=("10 %", "100 %"), system=systems, metric=metrics)],
    )  # fmt: skip
    write_json(
        tmp_path / "experiments.json",
        records(name=("routes",), minus=("nearest_elite_both",), metric=metrics, apart=(True,)),
    )
    write_json(
        tmp_path / "counterfactuals.json",
        records(control=("nanodt/counterfactual_object",), kind=("all", "object"),
                drive=("counterfactual", "original", "difference"),
                metric=("follows_counterfactual",)),
    )  # fmt: skip
    write_json(
        tmp_path / "probes.json",
        [{"judge": "rules", "probe": "longer_drive", "shift": -0.1, "ci_low": -0.2, "ci_high": 0.0,
          "sd": 0.1, "largest": 0.3, "moved": 0.1, "n": 9}],
    )  # fmt: skip
    matrix = [[3, 1, 0], [0, 2, 0], [0, 0, 4]]
    write_json(
        tmp_path / "confusion.json",
        [{"judge": "judge_people", "against": "re-annotation", "levels": ["bad", "so-so", "good"],
          "matrix": matrix, "agreement": 0.9, "weighted_kappa": None, "n": 10},
         {"judge": "judge_llm", "kind": "places", "true_positive": 7, "n": 9}],
    )  # fmt: skip
    parts = {part["key"]: part for part in experiments(tmp_path)}
    assert list(parts) == ["counterfactuals", "splits", "seeds", "curve", "probes"]
    table = parts["splits"]["tables"][0]
    assert table["columns"] == ["Distance to the target", "Route obeyed", "new"]
    assert table["rows"][0]["heads"] == ("regions", "policy")
    assert table["rows"][0]["cells"][1]["interval"] == "[0.40, 0.90]"
    assert "minus" in parts["splits"]["tables"][1]["heads"]
    assert len(parts["seeds"]["tables"]) == 1, "no differences are of these runs"
    curve = " ".join(parts["curve"]["charts"])
    lines = re.findall(r'stroke="var\(--(?:policy|baseline)\)" stroke-width="1.8"', curve)
    assert len(lines) == 4 and "training trajectories" in curve
    assert "Other object" in parts["counterfactuals"]["charts"][0]
    assert parts["probes"]["matrices"][0]["rows"][0]["cells"][0] == {"count": 3, "share": 0.3}
    assert "Places the judge says" in parts["probes"]["tables"][1]["title"]


def check_latex(text, columns, rows):
    """The text is a tabular of so many columns and rows, with every special character escaped."""
    assert text.isascii()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    spec = re.match(r"\\begin\{tabular\}\{([lr]+)\}", body)
    assert spec is not None and len(spec[1]) == columns
    lines = [line for line in body.splitlines() if line.endswith(r" \\")]
    assert len(lines) == rows
    for line in lines:
        assert len(re.findall(r"(?<!\\)&", line)) == columns - 1
        assert not re.search(r"(?<!\\)[%#_^~]", line.replace(" ~ ", ""))
        assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0
        assert len(re.findall(r"(?<!\\)\{", line)) == len(re.findall(r"(?<!\\)\}", line))


def test_latex_escapes_what_latex_reads():
    rows = [["50 % & more_{x}", "~$5 #1 ^ \\foo"], ["naïve τ −0.5", "“a” – b"]]
    text = formatting.tabular(["a_b", "c"], rows)
    check_latex(text, 2, 3)
    assert r"50 \% \& more\_\{x\}" in text and r"\textbackslash{}foo" in text
    assert "naive $\\tau$ $-$0.5" in text
