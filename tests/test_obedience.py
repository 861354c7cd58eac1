"""Obeyed in full, bans, and the likeness of paths: worked examples."""

import json
from pathlib import Path

import numpy as np
import pytest
from run_factory import Planted, make_run

import envs
from archive_tools.annotations.annotate import annotate
from archive_tools.evaluation import metrics
from archive_tools.evaluation.measures import Wishes, enters_forbidden, is_obeyed
from archive_tools.evaluation.scoring import score_run
from archive_tools.evaluation.summary import summarise
from archive_tools.files.tables import read_json, read_table
from archive_tools.rollouts.command_files import load_references
from archive_tools.rollouts.listener import Listener
from archive_tools.rollouts.targets import Ends
from archive_tools.run.stage import read_manifest
from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages.s08_rollout import RolloutConfig
from envs import InputError
from envs.places import tile_centres
from envs.worlds.commands import bundled_commands

WORLD = envs.load_world("apartment")
SCENE = WORLD.scene
INVENTED = Path(__file__).parent / "data" / "invented_commands.jsonl"


def through(*stops):
    """The annotation of a drive straight from stop to stop: tiles, or objects to their middle."""
    points = []
    for name in stops:
        box = next((o.box for o in SCENE.objects if o.name == name), None)
        x, y = (
            tile_centres(SCENE)[name][0]
            if box is None
            else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        )
        points.append((x, WORLD.size - y, 0.0))
    pose = np.concatenate(
        [np.linspace(a, b, 80) for a, b in zip(points, [*points[1:], points[-1]], strict=True)]
    )
    [annotation] = annotate(SCENE, pose[None].astype(np.float32), size=WORLD.size)
    return annotation


@pytest.mark.parametrize(
    ("text", "barred"),
    [
        ("Go to the piano, but keep out of the dining room.", "chair gray table"),
        ("Go to the white bedroom but don't run over the table.", "table"),
        ("Go to the table and stay off the bed on the way.", "bed"),
        ("Go by the desk to the sofa.", ""),
    ],
)
def test_what_a_text_forbids_does_not_come_next(text, barred):
    """Nor do the things in a room that is forbidden: the way to them leads through it."""
    listener = Listener(SCENE, Ends.of([through("gray")], np.zeros((1, 2), np.float32)))
    assert listener.read([text])[2] == [barred.split()]


def test_names_of_a_file_are_what_counts():
    drive = through("gray", "orange", "green", "piano")
    yes = (
        Wishes(end="piano"),
        Wishes(end="green"),
        Wishes(("orange", "piano"), ("purple",), "piano"),
        Wishes(avoid=("purple",)),
    )
    no = (
        Wishes(("piano", "orange")),  # met, but not in this order
        Wishes(("sofa",)),
        Wishes(end="orange"),
        Wishes(end="sofa"),
        Wishes(("orange",), ("green",), "piano"),
    )
    text = "Stop at the sofa."  # would be disobeyed: the names count, not the text
    assert [is_obeyed(text, wishes, drive, SCENE) for wishes in yes] == [True] * 4
    assert [is_obeyed(text, wishes, drive, SCENE) for wishes in no] == [False] * 5
    assert enters_forbidden(text, Wishes(avoid=("green",)), drive, SCENE) is True
    assert enters_forbidden(text, Wishes(avoid=("purple",)), drive, SCENE) is False
    assert enters_forbidden(text, Wishes(end="piano"), drive, SCENE) is None
    # Where it starts it has to be; to come back there is what can be forbidden.
    start = Wishes(avoid=("gray",))
    assert enters_forbidden(text, start, drive, SCENE) is False
    assert enters_forbidden(text, start, through("gray", "orange", "gray"), SCENE) is True


def test_without_names_the_reader_says_what_counts():
    drive = through("gray", "orange", "green", "piano")
    assert is_obeyed("Go through the hall to the piano.", None, drive, SCENE) is True
    assert is_obeyed("Go to the piano, then through the hall.", None, drive, SCENE) is False
    assert is_obeyed("Stop at the sofa.", None, drive, SCENE) is False
    banned = "Go to the piano without entering the orange room."
    assert is_obeyed(banned, None, drive, SCENE) is False
    assert enters_forbidden(banned, None, drive, SCENE) is True
    assert enters_forbidden(banned.replace("orange", "purple"), None, drive, SCENE) is False
    assert enters_forbidden("Go to the piano.", None, drive, SCENE) is None
    assert is_obeyed("Just drive.", None, drive, SCENE) is None


def test_ndtw_worked_example():
    """A reference of 3 points; one path shifted by 2, one that stops half way, one that is equal
    but for its pace."""
    reference = np.array([[0, 0], [10, 0], [20, 0]], float)
    shifted = np.add(reference, [0, 2])
    half = reference[:2]
    slow = np.repeat(np.linspace([0, 0], [20, 0], 9), 3, axis=0)
    found = metrics.ndtw([shifted, half, slow, reference], [reference] * 4, spacing=10, threshold=5)
    # Sums of distances: 2 + 2 + 2; 0 + 0 + 10; nothing.
    expected = [np.exp(-6 / (3 * 5)), np.exp(-10 / (3 * 5)), 1, 1]
    assert found == pytest.approx(expected)


def plain_dtw(a, b):
    table = np.full((len(a) + 1, len(b) + 1), np.inf)
    table[0, 0] = 0
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            table[i + 1, j + 1] = np.hypot(*(p - q)) + min(
                table[i, j], table[i, j + 1], table[i + 1, j]
            )
    return table[-1, -1]


def test_ndtw_equals_its_plain_version():
    rng = np.random.default_rng(0)
    corners = [rng.integers(0, 6, (n, 2)) for n in (4, 7, 1)]
    # Whole units along the axes, so that cutting into points 1 apart leaves them as they are.
    walks = [np.cumsum(np.eye(2)[rng.integers(0, 2, 30)], axis=0) + c[0] for c in corners]
    for a in walks:
        for b in walks:
            [found] = metrics.ndtw([a], [b], spacing=1.0, threshold=4.0)
            assert found == pytest.approx(np.exp(-plain_dtw(a, b) / (len(b) * 4)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("commands") / "run", n=60)


def drive(run, policy, *files, **options):
    options = {"items": 4, "pairs": 6, "systems": ("nanodt", "nanodt/text_off", "replay")} | options
    config = RolloutConfig(run=run, redo=True, commands=files, **options)
    return rollouts.run(config, lambda model: policy)


def test_people_are_a_set_with_references_and_pairs(made):
    """Their replayed drives are the references, so the replay obeys in every respect."""
    folder = drive(made, Planted(made, "deaf"), people=True, people_items=40)
    items = read_table(folder / "items.parquet")
    assert list(dict.fromkeys(items["set"])) == ["test", "contrast", "people", "people/contrast"]
    people = items[items["set"] == "people"]
    dev = read_table(bundled_commands(WORLD)).query("part == 'dev'")
    assert len(people) == 40 and set(people["text"]) <= set(dev["text"])
    references = load_references(made)
    ids = set(references.annotations)
    assert set(people["trajectory_id"]) <= ids and min(ids) == 160  # the run's are 100 to 159
    pairs = items[items["set"] == "people/contrast"].groupby("pair")
    for _, pair in pairs:
        first, second = pair.itertuples()
        assert np.array_equal(first.bd, second.bd)
        assert (first.trajectory_id, first.rival_id) == (second.rival_id, second.trajectory_id)
    facts = read_manifest(folder)["facts"]
    assert facts["people_items"] == 40 and facts["people_contrast_pairs"] == len(pairs) > 0
    records = summarise(score_run(made).frame, resamples=50, seed=0)
    found = {(r["set"], r["system"], r["metric"]): r for r in records}
    for metric in ("bd_success", "route_lcs", "ndtw", "sdtw", "contrast", "obeyed"):
        least = 0.97 if metric == "obeyed" else 1 - 1e-6  # the reader errs on some
        assert found["people", "replay", metric]["mean"] >= least, metric
    assert found["people", "nanodt", "route_lcs"]["n"] == 40
    assert found["people", "nanodt", "contrast"]["mean"] == 0.5  # deaf
    assert found["people", "nanodt/text_off", "ndtw"]["mean"] < 1
    assert found["test", "nanodt", "route_lcs"]["n"] == 4


def test_a_file_of_commands_end_to_end(made):
    """Jumping from place to place obeys; what the file forbids is asked of rows that forbid."""
    folder = drive(made, Planted(made), INVENTED)
    rows = [json.loads(line) for line in INVENTED.read_text().splitlines()]
    items = read_table(folder / "items.parquet").query("set == 'invented_commands'")
    assert items["text"].tolist() == [row["text"] for row in rows]
    assert items["trajectory_id"].isna().all() and load_references(made) is None
    judged = items["must"].notna().tolist()
    assert judged == ["must" in row for row in rows]
    frame = score_run(made).frame.query("set == 'invented_commands'")
    assert set(frame["system"]) == {"nanodt", "nanodt/text_off"}  # nothing to replay
    ours = frame[frame["system"] == "nanodt"].reset_index()
    bans = [bool(row.get("avoid")) or "must" not in row for row in rows]
    assert ours["forbidden_entered"].notna().tolist() == bans
    assert ours["route_lcs"].isna().all() and ours["ndtw"].isna().all()
    assert (ours["bd_error"] < 1e-3).all() and ours["obeyed"].notna().all()
    obeyed_share = frame.groupby("system")["obeyed"].mean()
    assert obeyed_share["nanodt"] > 0.5 > obeyed_share["nanodt/text_off"]


def test_commands_without_a_bd(made, tmp_path):
    """Given as NaN; what lives by the BD does not drive them."""
    path = tmp_path / "mine.csv"
    path.write_text('text,bd,end\nTo the piano.,,piano\nTo the bed.,"[541.5, 475.5]",bed\n')
    seen = []
    planted = Planted(made, "random")

    def spy(vector_env, text, bd, seed):
        seen.append((text, bd))
        return planted(vector_env, text, bd, seed)

    systems = ("nanodt", "nanodt/text_off", "nanodt/bd_off", "nearest_elite_bd", "random_elite")
    folder = drive(made, spy, path, systems=systems, pairs=0)
    items = read_table(folder / "items.parquet").query("set == 'mine'")
    assert items["bd"].isna().tolist() == [True, False]
    driven = read_table(folder / "rollouts.parquet")
    driven = driven[driven["item"].isin(items["item"])].groupby("system").size().to_dict()
    assert driven == {"nanodt": 2, "nanodt/text_off": 1, "nanodt/bd_off": 2,
                      "nearest_elite_bd": 1, "random_elite": 2}  # fmt: skip
    [bd] = [bd for text, bd in seen if text == ["To the piano.", "To the bed."] and bd is not None]
    assert np.isnan(bd[0]).all() and bd[1].tolist() == [541.5, 475.5]
    frame = score_run(made).frame.query("set == 'mine'")
    assert frame["bd_error"].isna().sum() == 3


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("mine", {"text": "Go.", "must": ["kitchen table"]}, "row 1: must has 'kitchen table'"),
        ("mine", {"text": "Go.", "avoid": ["moon"]}, "row 1: avoid has 'moon', which the scene"),
        ("mine", {"text": "Go.", "end": "moon"}, "row 1: end has 'moon'"),
        ("mine", {"text": "Go.", "must": "piano"}, "must is no list; write it like"),
        ("mine", {"text": "Go.", "bd": [700, 10]}, "bd: x is 700, expected 0 to 600"),
        ("mine", {"text": "Go.", "bd": [7]}, "bd has 1 numbers, expected 2"),
        ("mine", {"text": "Go.", "bd": "there"}, "bd is no list"),
        ("mine", {"text": "Go.", "action": [1, 2, 3]}, "has 3 numbers; expected 800"),
        ("mine", {"text": " "}, "row 1: the text is empty"),
        ("mine", {"words": "Go."}, "column 'text' is missing"),
        ("mine", {"text": "Go to <DESCRIPTOR>."}, "the row has no bd to fill in"),
        ("people", {"text": "Go."}, "is called 'people' already; rename the file"),
        ("test", {"text": "Go."}, "is called 'test' already; rename the file"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(made, tmp_path, name, row, words):
    path = tmp_path / f"{name}.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(InputError) as caught:
        drive(made, Planted(made), path)
    line = str(caught.value)
    assert words in line and str(path) in line and "\n" not in line, line


def test_other_refusals_are_one_line(made, tmp_path):
    with pytest.raises(InputError, match="--commands-where needs --commands"):
        drive(made, Planted(made), commands_where=("part=dev",))
    with pytest.raises(InputError, match="row 2 has fewer fields"):
        (tmp_path / "a.csv").write_text("text,end\nGo.,piano\nGo.")
        drive(made, Planted(made), tmp_path / "a.csv")
    assert read_json(made / "dataset" / "dataset.json")["steps"] == 400
