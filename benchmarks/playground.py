"""How long pages of the playground wait: from Enter to the first frame, and to the drive's end.

    python benchmarks/playground.py --run runs/demo [--pages 20] [--apart 0.05]

Starts scripts/play.py on a free port of this machine and lets so many pages drive: one alone, all
at once, and one after the other by `--apart` seconds. A page is a connection that asks for a drive
of its own and listens until it is over; what a browser takes to draw is not in the figures. On a
shared machine they say what company costs, too.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bounds
import httpx
import numpy as np

from envs.errors import ArgumentParser

SAY = "Go past the statue, then by the desk, and stop at the bed."


def page(address: str, number: int, wait: float) -> tuple[float, float]:
    """Seconds until the first frame and until the end of one page's drive, after `wait` seconds."""
    time.sleep(wait)
    with httpx.Client(base_url=address, timeout=120) as client:
        begun = time.perf_counter()
        command = {"text": SAY, "bd": [450 + number, 500] if number % 2 else None}
        drive = client.post("/drives", json=command).raise_for_status().json()
        first = 0.0
        with client.stream("GET", f"/drives/{drive['id']}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("event: poses") and not first:
                    first = time.perf_counter() - begun
        return first, time.perf_counter() - begun


def measure(address: str, pages: int, apart: float) -> str:
    """A row of the table: median and longest wait of so many pages."""
    with ThreadPoolExecutor(pages) as pool:
        waits = pool.map(lambda n: page(address, n, n * apart), range(pages))
    first, whole = np.array(list(waits)).T
    return (
        f"{np.median(first):6.2f} {first.max():8.2f}   {np.median(whole):8.2f} {whole.max():8.2f}"
    )


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--pages", type=bounds.count, default=20)
    parser.add_argument(
        "--apart", type=bounds.seconds, default=0.05, help="seconds between two pages"
    )
    options = parser.parse_args()
    script = Path(__file__).parents[1] / "scripts" / "play.py"
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, script, "--run", options.run, "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+(?=/)", server.stdout.readline())
        if found is None:
            sys.exit("the playground did not begin; see above")
        print(f"ready after {time.perf_counter() - begun:.1f} s\n")
        print("seconds to            first frame            whole drive")
        print("                   median  longest     median  longest")
        for name, pages, apart in (
            ("one page", 1, 0.0),
            (f"{options.pages} at once", options.pages, 0.0),
            (f"{options.pages} in turn", options.pages, options.apart),
        ):
            print(f"{name:18} {measure(found[0], pages, apart)}")
        begun = time.perf_counter()
        server.send_signal(signal.SIGINT)
        server.wait(30)
        print(f"\nended {time.perf_counter() - begun:.2f} s after Ctrl-C")
    finally:
        server.kill()


if __name__ == "__main__":
    main()
