"""The windows that training draws from episodes, as batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanodt.data.episodes import Episodes
from nanodt.data.folder import release, room
from nanodt.errors import InputError
from nanodt.model.auxiliary import HORIZONS
from nanodt.model.network import Network
from nanodt.packing import Batch, pack, pack_windows, ragged
from nanodt.place.visitation import RecordedVisits, cells_of
from nanodt.text.encoders import TextTable, text_table

TOGETHER = 2**14
"""Episodes that are reckoned at once."""


@dataclass
class Plan:
    """Which windows make a batch: G windows for each of N texts."""

    episode: np.ndarray  # [N] number among the episodes
    text: np.ndarray  # [N] row of the text table, -1 = none
    bd_dropped: np.ndarray  # [N] bool
    start: np.ndarray  # [N, G] first timestep
    steps: np.ndarray  # [N] timesteps of each window
    corrupted: np.ndarray | None = None  # [N, longest text] token to read instead, -1 = as it is

    @property
    def timesteps(self) -> int:
        """Timesteps of all windows."""
        return int(self.steps.sum()) * self.start.shape[1]

    def rows(self, index: slice | np.ndarray) -> Plan:
        """Some of the rows."""
        some: Any = {k: None if v is None else v[index] for k, v in vars(self).items()}
        return Plan(**some)


class Windows:
    """Draws batches of windows of some episodes, for one network.

    An episode is drawn with a chance proportional to its steps (times its weight). Its window's
    first step is drawn uniformly from -(K-1) .. length-1 and then moved into 0 .. length-K, where K
    is the number of steps that fit behind the text. So no row wastes room; every step is a target
    with a chance of at least K / (length + K - 1); and the stretch from step 0, with which all
    acting begins, is drawn as often as that, and not once in length - K + 1.
    """

    def __init__(
        self, episodes: Episodes, network: Network, *, table: TextTable | None = None
    ) -> None:
        """`table` holds one text (token ids) of each episode, where they are no English texts."""
        self.episodes, self.network, self.device = episodes, network, network.device
        self.stream = network.stream
        chances = episodes.weight * episodes.length
        if chances.sum() <= 0:
            raise InputError("every episode of the split has weight 0")
        self.cumulative = np.cumsum(chances / chances.sum())
        self.length, self.first = episodes.length, episodes.first
        self.vocabulary = 0
        self._read_texts(table)
        self.steps = {k: torch.from_numpy(v).to(self.device) for k, v in episodes.steps.items()}
        self.each = {k: torch.from_numpy(v).to(self.device) for k, v in episodes.each.items()}
        self.visits: RecordedVisits | None = None
        if network.config.odometry is not None and "pose" not in self.steps:
            self._reckon()

    def _read_texts(self, table: TextTable | None) -> None:
        """Prepare the texts, and refuse those that leave no room for a step."""
        config, texts = self.network.config, self.episodes.texts or []
        count = [len(own) for own in texts] if texts else [0] * len(self.length)
        if config.layout.text is None:
            table, count = None, [0] * len(self.length)
        elif table is None:
            table = self.network.text.prepare([text for own in texts for text in own])
            self.vocabulary = self.network.text.vocabulary
        else:
            count = [1] * len(self.length)
        self.text_count = np.array(count, np.int64)
        self.text_first = np.cumsum(self.text_count) - self.text_count
        self.table = text_table([]) if table is None else table
        self.table.data = self.table.data.to(self.device)
        lengths, size = self.table.lengths, self.stream.tokens
        if config.block_size is not None and (lengths > config.block_size - size).any():
            text = int(np.argmax(lengths))
            owner = int(np.searchsorted(self.text_first + self.text_count, text, side="right"))
            raise InputError(
                f"a text of trajectory {self.episodes.ids[owner]} takes {lengths[text]} tokens; "
                f"with block_size={config.block_size} at most {config.block_size - size} leave "
                f"room for a step: shorten the text or give --block-size {lengths[text] + size} "
                "or more"
            )

    def _reckon(self) -> None:
        """The pose before each action, and the cells visited, where the layout tells of them."""
        config, steps = self.network.config, self.episodes.steps
        assert config.odometry is not None and config.bd_low and config.bd_high
        pose = room(int(self.length.sum()), 3)
        side = self.network.map_side if "visits" in self.network.slots else 0
        low, high = np.array(config.bd_low)[:2], np.array(config.bd_high)[:2]
        cells = np.empty(len(pose) if side else 0, np.min_scalar_type(side * side))
        for begin in range(0, len(self.length), TOGETHER):
            length = self.length[begin : begin + TOGETHER]
            first = int(self.first[begin])
            some = slice(first, first + int(length.sum()))
            pose[some] = config.odometry.reckon(
                length, np.cumsum(length) - length, steps["action"][some], steps["obs"][some]
            )
            if side:
                cells[some] = cells_of(pose[some, :2], low, high, side)
            for values in (pose, steps["action"], steps["obs"]):
                release(values)
        self.steps["pose"] = torch.from_numpy(pose).to(self.device)
        if side:
            self.visits = RecordedVisits(cells, self.length, self.first, side, str(self.device))

    def shape(self, windows: int) -> tuple[float, float]:
        """Of rows with a text of mean length: tokens in a row (the text and one window), and the
        share of all tokens at which an action is read."""
        text = float(self.table.lengths.mean()) if len(self.table.lengths) else 0.0
        capacity = int(self.network.capacity(np.array([round(text)]))[0])
        steps = min(capacity, int(self.length.max()))
        tokens = steps * self.stream.tokens - self.spare(windows)
        return text + tokens, windows * steps / (text + windows * tokens)

    def spare(self, windows: int) -> int:
        """Tokens at the end of a window that are left out where several share a text: behind the
        last at which something is predicted, so nothing would look at them."""
        reads = self.stream.reads
        last = max(int(reads[name].max()) for name in self.network.taught)
        return self.stream.tokens - 1 - last if windows > 1 else 0

    def plan(
        self,
        rng: np.random.Generator,
        rows: int,
        text_dropout: float = 0.0,
        bd_dropout: float = 0.0,
        windows: int = 1,
        token_corruption: float = 0.0,
    ) -> Plan:
        """Draw `windows` windows each of `rows` episodes, in the order of their texts' lengths:
        rows of one length leave little room for pads.

        Texts and BDs are dropped with the given probabilities, for all windows of a row. Of a
        text's tokens up to twice the share `token_corruption` are read as random ones.
        """
        draw, place = rng.random((4, rows)), rng.random((rows, windows))
        episode = np.searchsorted(self.cumulative, draw[0], side="right")
        episode = np.minimum(episode, len(self.length) - 1)
        count = self.text_count[episode]
        choice = np.minimum((draw[1] * count).astype(np.int64), np.maximum(count - 1, 0))
        text = np.where(
            (count > 0) & (draw[2] >= text_dropout), self.text_first[episode] + choice, -1
        )
        taken = self.text_lengths(text)
        length = self.length[episode]
        steps = np.minimum(self.network.capacity(taken), length)
        last = (length - steps)[:, None]
        start = np.floor(place * (length + steps - 1)[:, None]).astype(np.int64)
        start = np.clip(start - (steps - 1)[:, None], 0, last)
        corrupted = None
        if token_corruption and len(self.table.lengths):
            size = (rows, int(self.table.lengths.max()))
            hit = rng.random(size) < 2 * token_corruption * rng.random((rows, 1))
            corrupted = np.where(hit, rng.integers(self.vocabulary, size=size), -1)
        plan = Plan(episode, text, draw[3] < bd_dropout, start, steps, corrupted)
        return plan.rows(np.argsort(taken, kind="stable"))

    def text_lengths(self, text: np.ndarray) -> np.ndarray:
        """Tokens [N] of texts by their row of the table, -1 = none."""
        if not len(self.table.lengths):
            return np.zeros(len(text), np.int64)
        return np.where(text >= 0, self.table.lengths[text], 0)

    def locate(self, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of a plan: the episode of each window [W], and of each timestep [M] its window, its
        place in it, and its number among the steps of all episodes."""
        windows = plan.start.shape[1]
        owner = np.repeat(plan.episode, windows)
        row, inner = ragged(np.repeat(plan.steps, windows))  # of windows, G of them in a row
        return owner, row, inner, self.first[owner[row]] + plan.start.ravel()[row] + inner

    def targets(self, plan: Plan) -> float:
        """How many numbers the windows of a plan teach."""
        counts = {name: len(self.stream.reads[name]) for name in self.network.taught}
        masked = [name for name in counts if self._weighs(name)]
        if not masked:
            return float(plan.timesteps * sum(counts.values()))
        _, row, inner, index = self.locate(plan)
        before = self.text_lengths(plan.text)[row // plan.start.shape[1]]
        weights = self._weights(before + inner * self.stream.tokens, torch.from_numpy(index))
        free = plan.timesteps * sum(n for name, n in counts.items() if name not in masked)
        return float(free + sum(int((w > 0).sum()) for w in weights.values()))

    def _weighs(self, name: str) -> bool:
        """Whether some targets of a slot may weigh 0."""
        reads, mask = self.stream.reads[name], self.network.slots[name].mask
        return mask is not None or bool((reads < 0).any())

    def _weights(self, before: np.ndarray, index: Tensor) -> dict[str, Tensor]:
        """`Batch.weight` of timesteps with so many tokens of their row `before` them [M]."""
        found = {}
        for name in self.network.taught:
            if not self._weighs(name):
                continue
            # A row's very first token has none before it at which it could be predicted.
            inside = torch.from_numpy(before[:, None] + self.stream.reads[name] >= 0)
            weight, mask = inside.float().to(self.device), self.network.slots[name].mask
            if mask is not None:
                weight = weight * self.steps[mask].index_select(0, index.to(self.device))
            found[name] = weight
        return found

    def batch(self, plan: Plan) -> Batch:
        """Gather a plan's windows."""
        text, text_position, text_lengths = self.table.take(plan.text)
        if plan.corrupted is not None:
            owner, inner = ragged(text_lengths)
            other = torch.from_numpy(plan.corrupted[owner, inner]).to(text)
            text = torch.where(other < 0, text, other)
        windows, size = plan.start.shape[1], self.stream.tokens
        owner, row, inner, index = self.locate(plan)
        shared, spare = windows > 1, self.spare(windows)
        if shared:
            place, first = pack_windows(text_lengths, plan.steps, size, windows, spare)
        else:
            place, first = pack(text_lengths, plan.steps, size)
        time, step = plan.start.ravel()[row] + inner, torch.from_numpy(index)
        before = text_lengths[row // windows] + inner * size
        return Batch(
            text=text,
            text_position=text_position.to(self.device),
            values=self._values(owner, owner[row], time, step.to(self.device)),
            dropped={"bd": torch.from_numpy(np.repeat(plan.bd_dropped, windows)).to(self.device)},
            row=torch.from_numpy(row).to(self.device),
            time=torch.from_numpy(time).to(self.device),
            place=torch.from_numpy(place).to(self.device),
            first=torch.from_numpy(first).to(self.device),
            tokens=int(text_lengths.sum() + windows * (size * plan.steps - spare).sum()),
            windows=windows,
            text_lengths=torch.from_numpy(text_lengths).to(self.device) if shared else None,
            weight=self._weights(before, step),
        )

    def _values(
        self, owner: np.ndarray, episode: np.ndarray, time: np.ndarray, step: Tensor
    ) -> dict[str, Tensor]:
        """Values of timesteps [M] of episodes [M], and of windows' episodes `owner` [W]."""
        window = torch.from_numpy(owner).to(self.device)
        values = {k: v.index_select(0, step) for k, v in self.steps.items()}
        values |= {k: v.index_select(0, window) for k, v in self.each.items()}
        if self.network.config.auxiliary.future_position:
            last = (self.first + self.length - 1)[episode]
            here = self.first[episode] + time
            later = np.minimum(here[:, None] + np.array(HORIZONS), last[:, None])
            values["later"] = self.steps["pose"][torch.from_numpy(later).to(self.device), :2]
        if self.visits is not None:
            values["visits"] = self.visits.at(episode, time)
        return values
