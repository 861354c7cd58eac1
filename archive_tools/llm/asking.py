"""Many items, a server, a progress bar: each item's work done, side by side."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from archive_tools.llm.client import FIRST_RESULTS, Asker, Client, FirstReplies
from archive_tools.llm.config import LlmConfig
from archive_tools.llm.ledger import Ledger

TICK = 2.0  # seconds between looks at the bar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ask_all(
    items: Sequence[Item],
    work: Callable[[Asker, Item], Awaitable[Result]],
    config: LlmConfig,
    ledger: Ledger,
    *,
    desc: str,
    problem_of: Callable[[Result], str] = lambda result: "",
) -> list[Result]:
    """Do `work` for all items, at most `config.concurrency` at a time.

    Args:
        items: one result each.
        work: what to do for an item, by asking.
        config: see LlmConfig.
        ledger: open.
        desc: name of the progress bar.
        problem_of: why a result cannot be used, or ""; where that is one and the same for all of
            the first results, the run stops.

    Returns:
        the results in the order of `items`, whatever order they were finished in.

    Raises:
        Stop: after requests on their way were finished and stored.
    """
    return asyncio.run(_ask_all(items, work, config, ledger, desc, problem_of))


async def _ask_all(
    items: Sequence[Item],
    work: Callable[[Asker, Item], Awaitable[Result]],
    config: LlmConfig,
    ledger: Ledger,
    desc: str,
    problem_of: Callable[[Result], str],
) -> list[Result]:
    results: dict[int, Result] = {}
    queue = iter(enumerate(items))
    failures: list[Exception] = []
    first = FirstReplies("results", FIRST_RESULTS, "other options or another --model may help")
    async with Client(config, ledger) as client:
        with tqdm(total=len(items), desc=desc, unit=" texts") as bar:

            async def worker() -> None:
                for index, item in queue:
                    try:
                        results[index] = await work(client, item)
                        first.note(problem_of(results[index]))
                    except Exception as error:
                        failures.append(error)
                        client.stop(error)
                    if failures:
                        return
                    bar.set_postfix_str(_state(client, config), refresh=False)
                    bar.update()

            ticking = asyncio.ensure_future(_tick(bar, client, config))
            await asyncio.gather(*(worker() for _ in range(min(config.concurrency, len(items)))))
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(items))]


async def _tick(bar: Any, client: Client, config: LlmConfig) -> None:
    """Move the bar while it is waited for a server."""
    done, since = -1, time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        if bar.n != done:
            done, since = bar.n, time.monotonic()
        elif time.monotonic() - since > TICK:
            bar.set_postfix_str(_state(client, config))


def _state(client: Client, config: LlmConfig) -> str:
    """Costs, and what is out of the ordinary."""
    parts = [f"${client.ledger.spent:.4f}"] if client.ledger.spent >= 1e-4 else []
    parts += [f"{count} {name}" for name, count in sorted(client.troubles.items())]
    if client.troubles:
        parts.append(f"{client.pace.limit} at once")
    if client.waiting:
        parts.append(f"waits up to {config.patience}: {client.waiting}")
    return ", ".join(parts)
