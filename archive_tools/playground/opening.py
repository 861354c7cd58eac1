"""The two commands: open the playground, open the rating page."""

from collections.abc import Sequence
from pathlib import Path

from archive_tools.playground.play_page import Playground
from archive_tools.playground.rate_page import RatingPage
from archive_tools.playground.robots import LoadPolicy
from archive_tools.playground.scenery import Scenery
from archive_tools.playground.server import BoundSocket, Page, make_app, serve
from archive_tools.run import check_folder
from envs.errors import InputError


def play(
    run: Path,
    load: LoadPolicy,
    *,
    others: Sequence[Path] = (),
    rater: str = "me",
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = False,
) -> None:
    """Serve the playground of a run until Ctrl-C, and its rating page where it has rollouts.

    Args:
        run: with archive/, annotations/, dataset/ and model/.
        load: given a model's folder, loads what drives.
        others: folders of further models to compare with.
        rater: who rates.
        host: where to listen; beyond this machine, the address holds a token.
        port: 0 takes a free one.
        browser: open the page in the desktop's browser.

    Raises:
        InputError: a stage is missing, one of `others` holds no model, the world has no scene, or
            rater, host or port cannot be used.
        ValueError: the model cannot be loaded.
    """
    if not run.is_dir():
        raise InputError(f"{run}: no such run; `make demo` makes runs/demo, or give --run")
    check_folder(run / "archive")
    for folder in others:
        if not (folder / "config.json").is_file():
            raise InputError(f"--others {folder}: expected the folder of a model (no config.json)")
    rated = (run / "rollouts" / "manifest.json").exists()
    rating = [RatingPage(run, rater)] if rated else []
    listener = BoundSocket(host, port)
    try:
        scenery = Scenery(run)
        playground = Playground(run, scenery, load, others)
    except BaseException:
        listener.close()
        raise
    pages: list[Page] = [playground, *rating]
    try:
        serve(make_app(scenery, pages, listener), listener, browser=browser)
    finally:
        playground.close()


def rate(
    run: Path,
    rater: str,
    *,
    items: int = 32,
    systems: Sequence[str] = (),
    seed: int = 0,
    port: int = 0,
) -> Path:
    """Serve the rating page until Ctrl-C; returns the file that holds the ratings.

    Args:
        run: with archive/, dataset/ and rollouts/.
        rater: a name of letters, digits, - and _.
        items, systems, seed: see `archive_tools.rating.open_session`.
        port: on 127.0.0.1; 0 takes a free one.

    Raises:
        InputError: a stage is missing, the name or the port cannot be used, or the file of
            ratings is damaged.
    """
    page = RatingPage(run, rater, items=items, systems=systems, seed=seed)
    session = page.session
    listener = BoundSocket("127.0.0.1", port)
    path = session.ratings.path
    state = session.state()
    print(f"{state['rated']} of {state['total']} drives are rated; scores go to {path}")
    serve(make_app(Scenery(run), [page], listener), listener, page.path)
    state = session.state()
    print(f"{state['rated']} of {state['total']} drives are rated; kept in {path}")
    print(f"the table of agreement: python scripts/09_evaluate.py --run {run} --redo")
    return path
