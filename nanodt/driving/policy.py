"""The policy: a trained network that acts, for whole batches of robots at once.

What the network sees while acting
----------------------------------
The context grows from the first step until it is full (`block_size` tokens, or `window` steps);
then all but its newest half is evicted and it grows again (`window_start`). A window that slid by
one step could not reuse what was computed before: the cached states of later steps have already
seen, layer by layer, the step that would be evicted. With evictions of half a window, between two
of them nothing is evicted, so the cached and the uncached way give the same actions, and both see
windows as training showed them: a stretch of up to K steps read from its first step.

At an eviction, about once every K / 2 steps, the steps that stay are computed anew, but not their
texts: those come first, so nothing later changes them. At every other step only the new tokens are
computed. Which tokens those are follows from the layout alone: at each step the policy walks over
the step's slots; what is known enters, and what has a head and is asked for is drawn at the token
where the layout reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanodt.errors import InputError
from nanodt.files import hub_folder
from nanodt.model.heads import Sampling
from nanodt.model.network import Network, load_network, numbered
from nanodt.model.trunk import Cache, Write
from nanodt.packing import Batch, pack, ragged
from nanodt.place.visitation import VisitationMap, cells_of
from nanodt.text.encoders import text_table
from nanodt.text.reader import Reader, load_reader


def window_start(step: np.ndarray | int, capacity: np.ndarray) -> np.ndarray:
    """First timestep in the context when acting at `step`, in rows that hold [N] steps.

    The context holds `start .. step`, the current one included. All but its newest half is evicted
    each time it is full.
    """
    evicted = np.maximum(capacity - capacity // 2, 1)
    return np.where(step < capacity, 0, ((step - capacity) // evicted + 1) * evicted)


class Policy:
    """A network that acts. Stateful: `reset()` begins a new episode.

    `conditions` enter what the network is asked for besides text and bd, slot by slot: they are
    called at each step with the policy, the slot's name and the last rewards. `sampling` says how
    heads with classes choose; `cache=False` computes the whole context anew at every step (the same
    actions, slowly). `text_ids` are the token ids of each row's text, where these are no English
    texts. `context` shortens the window. `width`: how many numbers of the action are drawn (the
    environment's own, where the network knows more); the others are 0. A `reader` turns texts into
    what the network is told, and finds BDs that are not given.
    """

    def __init__(
        self,
        network: Network,
        conditions: Mapping[str, Callable[[Policy, str, np.ndarray], None]] | None = None,
        *,
        sampling: Sampling | None = None,
        cache: bool = True,
        text_ids: Sequence[np.ndarray] | None = None,
        context: int | None = None,
        width: int | None = None,
        reader: Reader | None = None,
        seed: int = 0,
    ) -> None:
        if context is not None and context < 1:
            raise InputError(f"context {context}: a policy must see at least one step")
        self.network, self.conditions = network.eval(), dict(conditions or {})
        self.config, self.device = network.config, network.device
        self.sampling = sampling or Sampling()
        self.cached, self.text_ids, self.context, self.width = cache, text_ids, context, width
        self.reader = reader
        self.slots = {n: s for n, s in network.slots.items() if not s.reckoned}
        self.sizes = {n: 1 if numbered(s) else s.size for n, s in self.slots.items()}
        self.reset(seed)

    def reset(self, seed: int | None = None, start: np.ndarray | None = None) -> None:
        """Forget the episode; with a seed, also begin the random draws anew.

        `start` [N, 3] is where the robots stand (x, y, heading), for odometry; by default all stand
        where those of the training did.
        """
        if seed is not None:
            self.generator = torch.Generator(self.device).manual_seed(seed)
        self.begins = None if start is None else np.array(start, np.float64)
        self.step, self.rows = -1, 0
        self.barred: Tensor | None = None
        self.cache: Cache | None = None

    @torch.no_grad()
    def act(
        self,
        obs: np.ndarray | Mapping[str, Any],
        text: Sequence[str | None] | None = None,
        bd: np.ndarray | None = None,
        reward: np.ndarray | None = None,
    ) -> np.ndarray:
        """Actions [N, n_act] float32 for observations [N, n_obs], clipped and rounded as recorded.

        `text` (N descriptions) and `bd` [N, n_bd] are the instruction; None leaves one out, for all
        robots or, as a text of None or a row of NaN, for one; a reader may find such a BD in the
        text. They are taken at the first call after `reset()` and stay; later calls may omit them.
        `reward` [N] is that of the last step, for networks that are asked for a return.
        Observations may also be given by the names of their slots.
        """
        known = obs if isinstance(obs, Mapping) else {"obs": self._observations(obs)}
        rows = len(next(iter(known.values())))
        if not self.rows:
            self._begin(rows, text, bd)
        reward = np.zeros(rows, np.float32) if reward is None else reward
        self.open_step(known, reward)
        for name, ask in self.conditions.items():
            ask(self, name, reward)
        action = self.draw("action", width=self.width)
        slot = self.slots["action"]
        if slot.low:
            action = np.clip(action, np.array(slot.low, "f4"), np.array(slot.high, "f4"))
        if slot.decimals is not None:
            action = np.round(action, slot.decimals)
        self.put("action", action)
        return action.astype(np.float32)[:, : self.width]

    def _observations(self, obs: np.ndarray) -> np.ndarray:
        obs = np.asarray(obs, np.float32)
        if "obs" in self.sizes and (obs.ndim != 2 or obs.shape[1] != self.sizes["obs"]):
            raise InputError(f"obs has shape {list(obs.shape)}, expected [N, {self.sizes['obs']}]")
        return obs

    def _begin(
        self, rows: int, text: Sequence[str | None] | None = None, bd: np.ndarray | None = None
    ) -> None:
        if self.reader is not None and text is not None:
            text, bd = self._read(self.reader, text, bd)
        self._begin_texts(rows, text)
        device, limit = self.device, self.config.layout.max_steps
        held = int(self.capacity.max())
        # One more than a window holds: the step before it, of which conditions may speak.
        held = min(held, limit or held) + 1
        self.values = {
            name: torch.zeros(rows, held, size, device=device)
            for name, size in self.sizes.items()
            if not self.slots[name].constant
        }
        if self.config.odometry is not None:
            self.reckoned = self.config.odometry.begin(rows) if self.begins is None else self.begins
            if self.reckoned.shape != (rows, 3):
                raise InputError(f"start has shape {list(self.reckoned.shape)}, not [{rows}, 3]")
            self.values["pose"] = torch.zeros(rows, held, 3, device=device)
        if "visits" in self.slots:
            self.map = VisitationMap(rows, self.network.map_side)
        self._begin_constants(rows, bd)
        # Tokens that are in the cache, and where its windows begin.
        self.entered, self.cached_start = 0, np.zeros(rows, np.int64)
        self.every_row = torch.arange(rows, device=device)
        if self.cached:
            size = self.network.stream.tokens
            steps = np.minimum(self.capacity, limit) if limit else self.capacity
            columns = int((self.text_lengths + size * steps).max())
            like = self.network.trunk.norm.weight
            self.cache = Cache(self.config.trunk, rows, columns, like)
            # Only layouts without a text have unseen tokens: a column's place in its step is plain.
            unseen = torch.from_numpy(np.resize(self.network.stream.unseen, columns)).to(device)
            self.unseen = unseen if self.network.has_unseen else None
        self.rows = rows

    def _read(
        self, reader: Reader, text: Sequence[str | None], bd: np.ndarray | None
    ) -> tuple[list[str | None], np.ndarray]:
        """What the network is told for texts, and BDs where texts name some that are not given."""
        some = [k for k, one in enumerate(text) if one is not None]
        told, targets, names = reader.read([text[k] or "" for k in some])
        read: list[str | None] = [None] * len(text)
        found = np.full((len(text), targets.shape[1]), np.nan, np.float32)
        bars: list[Sequence[str]] = [()] * len(text)
        for k, words, target, own in zip(some, told, targets, names, strict=True):
            read[k], found[k], bars[k] = words or None, target, own
        self.barred = self._bar(bars)
        if bd is None or np.shape(bd) != found.shape:  # of a wrong shape is refused later
            return read, found if bd is None else bd
        return read, np.where(np.isnan(bd).all(axis=1, keepdims=True), found, bd)

    def _bar(self, names: Sequence[Sequence[str]]) -> Tensor | None:
        """Which next places must not be chosen [N, subgoals + 1], by their names; None: all may."""
        number = {name: k for k, name in enumerate(self.config.subgoals)}
        barred = torch.zeros(len(names), len(number) + 1, dtype=torch.bool)
        for row, own in enumerate(names):
            barred[row, [number[name] for name in own if name in number]] = True
        return barred.to(self.device) if barred.any() else None

    def _begin_texts(self, rows: int, text: Sequence[str | None] | None) -> None:
        """Take the rows' texts; how many steps their windows hold behind them."""
        encoder = self.config.layout.text
        given = text if text else self.text_ids
        if given is not None and len(given) != rows:
            raise InputError(f"{len(given)} texts for {rows} observations: give one each")
        has = np.zeros(rows, bool)
        if encoder is None:
            self.table = text_table([])
        elif self.text_ids is not None:
            self.table, has = text_table(self.text_ids), ~has
        else:
            known = [one for one in text or () if one is not None]
            has = np.array([one is not None for one in text]) if text else has
            self.table = self.network.text.prepare(known)
        self.text_row = np.where(has, np.cumsum(has) - 1, -1)
        self.text_lengths = self.table.take(self.text_row)[2]
        capacity = self.network.capacity(self.text_lengths)
        if (capacity < 1).any():
            i = int(np.argmin(capacity))
            words = (text[i] if text else None) or ""
            raise InputError(
                f"text {i} takes {self.text_lengths[i]} tokens of the {self.config.block_size} of "
                f"a row: no step fits behind it; shorten it: {words[:60]!r}"
            )
        self.capacity = capacity if self.context is None else np.minimum(capacity, self.context)

    def _begin_constants(self, rows: int, bd: np.ndarray | None) -> None:
        """Values of constant slots, of which bd may be given; nulls where they are not."""
        self.constants: dict[str, Tensor] = {}
        self.dropped: dict[str, Tensor] = {}
        self.constant_tokens: dict[str, Tensor] = {}
        for name, slot in self.slots.items():
            if not slot.constant:
                continue
            shape, value = (rows, slot.size), bd if name == "bd" else None
            known = np.full(shape, np.nan, "f4") if value is None else np.asarray(value, np.float32)
            dropped = np.atleast_1d(np.isnan(known).all(axis=-1))
            known = np.where(dropped[..., None], np.float32(0), known)
            if known.shape != shape or not np.isfinite(known).all():
                raise InputError(
                    f"{name} has shape {list(known.shape)}, expected {list(shape)} finite"
                )
            self.constants[name] = torch.from_numpy(known).to(self.device)
            self.dropped[name] = torch.from_numpy(dropped).to(self.device)
            self.constant_tokens[name] = self.network.stream.token(
                slot, self.constants[name], self.dropped[name]
            )

    @property
    def now(self) -> int:
        """Where the current step's values are kept: of older ones than a window needs, none are."""
        return self.step % self._held

    @property
    def _held(self) -> int:
        return next(iter(self.values.values())).shape[1]

    def value(self, name: str, step: int) -> Tensor:
        """Values [N, size] of a slot at a step; only those of the window are kept."""
        return self.values[name][:, step % self._held]

    def put(self, name: str, value: Any) -> None:
        """Enter a value of the current step: [N, size], or one for all rows."""
        if name not in self.values:
            raise InputError(f"the model has no slot {name!r} (it has {', '.join(self.values)})")
        value = torch.from_numpy(np.asarray(value, np.float32))
        shape = self.values[name][:, 0].shape
        if value.dim() == 2 and value.shape != shape:
            raise InputError(f"{name} has shape {list(value.shape)}, expected {list(shape)}")
        self.values[name][:, self.now] = value.to(self.device)

    def open_step(self, known: Mapping[str, Any], reward: np.ndarray) -> None:
        """Begin the next step: what is known of it, and what its window evicts."""
        rows = len(reward)
        if not self.rows:
            self._begin(rows)
        if rows != self.rows:
            raise InputError(f"{rows} observations in an episode of {self.rows}: call reset()")
        self.step += 1
        limit = self.config.layout.max_steps
        if limit and self.step >= limit:
            raise InputError(
                f"step {self.step}: the model knows {limit} steps; call reset() to begin anew"
            )
        for name in self.network.heads:
            self.values[name][:, self.now] = 0
        if "reward" in self.values and self.step:
            self.value("reward", self.step - 1)[:, 0] = torch.from_numpy(reward).to(self.device)
        if self.config.odometry is not None:
            self._reckon(known["obs"])
        for name, value in known.items():
            self.put(name, value)
        self.start = window_start(self.step, self.capacity)

    def _reckon(self, obs: np.ndarray) -> None:
        """Move the poses on by the last action, and mark the cells they are in."""
        odometry = self.config.odometry
        assert odometry is not None
        if self.step:
            last = self.value("action", self.step - 1).cpu().numpy()
            self.reckoned = odometry.advance(self.reckoned, last, obs)
        pose = self.reckoned.astype(np.float32)
        self.put("pose", pose)
        if "visits" in self.slots:
            low, high = np.array(self.config.bd_low)[:2], np.array(self.config.bd_high)[:2]
            cells = cells_of(pose[:, :2], low, high, self.network.map_side)
            self.put("visits", self.map.visit(cells, self.step))

    def draw(self, name: str, width: int | None = None, bias: Tensor | None = None) -> np.ndarray:
        """Draw a slot of the current step from its head [N, size], token by token.

        `bias` [classes] is added to the logits (-inf: never drawn).
        """
        network, slot = self.network, self.slots[name]
        value = self.value(name, self.step)
        for number, at in enumerate(network.stream.reads[name][:width]):
            hidden = self.read(int(at))
            drawn = network.draw(
                name, hidden, number, self.sampling, self.generator, bias, self.barred
            )
            if slot.code == "scalars":
                value[:, number] = drawn[:, 0]
            else:
                value[:] = drawn
        return value.cpu().numpy().copy()

    def read(self, place: int) -> Tensor:
        """Hidden states [N, C] of token `place` of the current step (negative: of the step before),
        all tokens up to it entered."""
        upto = self.step * self.network.stream.tokens + place + 1
        if self.cache is None or self.entered == 0:
            self.last = self._whole(upto)
        elif (self.cached_start != self.start).any():
            self.last = self._evict(upto)
        elif upto > self.entered:
            self.last = self._extend(None, self.entered, upto, self.start)
        self.entered, self.cached_start = upto, self.start
        return self.last

    def _whole(self, upto: int) -> Tensor:
        """Compute the whole windows of all rows up to a token; with a cache, fill it."""
        size, device = self.network.stream.tokens, self.device
        last, place = divmod(upto - 1, size)
        n = last + 1 - self.start
        row, inner = ragged(n)
        time = self.start[row] + inner
        text, position, lengths = self.table.take(self.text_row)
        # What of the current step is not known yet stands behind the token that is read, and its
        # columns of the cache are overwritten later.
        packed, first = pack(lengths, n, size)
        which, held = torch.from_numpy(row).to(device), torch.from_numpy(time % self._held)
        batch = Batch(
            text=text.to(device),
            text_position=position.to(device),
            values={
                **{k: v[which, held.to(device)] for k, v in self.values.items()},
                **self.constants,
            },
            dropped=self.dropped,
            row=which,
            time=torch.from_numpy(time).to(device),
            place=torch.from_numpy(packed).to(device),
            first=torch.from_numpy(first).to(device),
        )
        read = batch.first[torch.from_numpy(np.cumsum(n) - 1).to(device)] + place
        return self.network.states(batch, read, None if self.cache is None else Write(self.cache))

    def _evict(self, upto: int) -> Tensor:
        """Go on where some rows' windows begin later than in the cache."""
        size, evicted = self.network.stream.tokens, self.cached_start != self.start
        groups = np.unique(self.capacity[evicted])  # of equal capacity: they evict alike
        if evicted.all() and len(groups) == 1:
            return self._extend(None, int(self.start[0]) * size, upto, self.start)
        # Rows that evict are computed along with the others and then overwritten: their place in
        # the cache stays within the row, and what it holds is not read again.
        hidden = self._extend(None, self.entered, upto, self.cached_start)
        for capacity in groups:
            rows = np.flatnonzero(evicted & (self.capacity == capacity))
            begin = int(self.start[rows[0]]) * size
            found = self._extend(rows, begin, upto, self.start[rows])
            hidden[torch.from_numpy(rows).to(self.device)] = found
        return hidden

    def _extend(self, rows: np.ndarray | None, first: int, upto: int, start: np.ndarray) -> Tensor:
        """Enter tokens `first` to `upto` (counted from step 0) of some rows (None = all), whose
        windows begin at steps `start`; hidden states of the last."""
        assert self.cache is not None
        which = None if rows is None else torch.from_numpy(rows).to(self.device)
        x = self._tokens(which, first, upto, start)
        lengths = self.text_lengths if rows is None else self.text_lengths[rows]
        columns = (lengths - start * self.network.stream.tokens)[:, None] + np.arange(first, upto)
        columns = np.minimum(columns, self.cache.columns - 1)
        where = torch.from_numpy(columns).to(self.device)
        x = self.network.finish(x, where)
        return self.network.trunk.extend(x, self.cache, where, self.unseen, which)

    def _tokens(self, rows: Tensor | None, first: int, upto: int, start: np.ndarray) -> Tensor:
        """Tokens `first` to `upto` of some rows [R, upto - first, C]."""
        stream, size = self.network.stream, self.network.stream.tokens
        begin, end = first // size, -(-first // size) * size
        if first < end < upto:  # the rest of a step, and later ones
            parts = [self._tokens(rows, first, end, start), self._tokens(rows, end, upto, start)]
            return torch.cat(parts, dim=1)
        steps = -(-upto // size) - begin
        places = (first % size, size if steps > 1 else upto - begin * size)
        every = self.every_row if rows is None else rows
        row = every.repeat_interleave(steps)
        time = torch.arange(begin, begin + steps, device=self.device).repeat(len(every))
        slots = stream.within(*places)
        names = [slot.name for slot in slots if slot.name in self.values]
        names += ["pose"] * any(slot.reckoned for slot in slots)
        values = {k: self.values[k][row, time % self._held] for k in names} | self.constants
        dropped = dict(self.dropped)
        for slot in slots:
            if slot.shift:
                values[slot.name] = self.values[slot.name][row, (time - 1) % self._held]
                begins = torch.from_numpy(start).to(self.device).repeat_interleave(steps)
                dropped[slot.name] = time == begins
        found = self.network.complete(values, dropped, row)
        x = stream(
            found,
            dropped,
            row,
            time,
            places=places,
            constants=self.constant_tokens,
            shifted=True,
        )
        return x.view(len(every), -1, x.shape[2])[:, : upto - first]


def load(path: Path | str, *, sampling: Sampling | None = None, device: str = "cpu") -> Policy:
    """The policy of a model folder, or of a model on the Hugging Face Hub by its id.

    It reads texts through the model's reader, where it has one (`nanodt.text.reader`).
    """
    folder = hub_folder(path, "model")
    network = load_network(folder, device)
    return Policy(network, sampling=sampling, reader=load_reader(folder))
