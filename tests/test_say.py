"""One sentence, one drive: events in the terminal, a picture in the run."""

import numpy as np
import pandas as pd
import pytest
from run_factory import Planted, make_run

from archive_tools.say import say


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("say") / "run", n=12)


def test_drives_the_sentence_and_shows_it(made, capsys):
    row = pd.read_parquet(made / "dataset" / "trajectories.parquet").iloc[0]
    picture = say(made, row["texts"][0], row["bd"].tolist(), lambda model: Planted(made))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (made / "said.svg").read_text().startswith("<svg")
    shown = capsys.readouterr().out
    assert f"ended at ({', '.join(f'{v:.1f}' for v in row['bd'])})" in shown
    assert "0.0 % of the diagonal" in shown
    visited = pd.read_parquet(made / "annotations" / "routes.parquet").iloc[0]["visited"]
    assert all(name in shown for name in visited)


def test_place_may_be_left_to_the_text(made, capsys):
    told = []
    planted = Planted(made)

    def spy(envs, text, bd, seed):
        told.append(bd)
        return planted(envs, None, np.array([[300, 300]], np.float32), seed)

    say(made, "Go anywhere.", None, lambda model: spy)
    assert told == [None]
    assert "diagonal" not in capsys.readouterr().out


def test_wrong_place_and_missing_model_are_refused(made, tmp_path):
    with pytest.raises(ValueError, match="--bd: found 3 values, expected 2"):
        say(made, "Go.", (1, 2, 3), lambda model: Planted(made))
    with pytest.raises(ValueError, match="00_search_archive"):
        say(tmp_path, "Go.", None, lambda model: Planted(made))
