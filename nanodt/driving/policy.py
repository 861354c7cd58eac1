"""The policy: a trained model that acts, for whole batches of robots at once.

What the model sees while acting
--------------------------------
The context grows from the first step until `block_size` tokens are full; then all but its newest
half is dropped and it grows again (`window_start`). A window that slid by one step could not
reuse what was computed before: the cached states of later steps have already seen, layer by
layer, the step that would be dropped. With hops, between two of them nothing is dropped, so the
cached and the uncached way give the same actions, and both see windows as training showed them:
a stretch of up to K steps read from its first step.

At a hop, about once every K / 2 steps, the steps that stay are computed anew, but not their texts:
those come first, so nothing later changes them. At every other step only the new tokens (last
action, bd, observation; with `one_token` a single one) are computed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nanodt.errors import InputError
from nanodt.model.heads import Sampling
from nanodt.model.network import Cache, Model, ModelConfig, Write
from nanodt.model.stream import Batch, pack, ragged
from nanodt.place.visitation import Trail
from nanodt.text.encoders import attach_source
from nanodt.training.checkpoint import read_weights

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def window_start(step: np.ndarray | int, room: np.ndarray) -> np.ndarray:
    """First timestep in the context when acting at `step`, in rows with room for [N] steps.

    The context holds `start .. step`, the current one included. It is dropped to its newest
    half each time it is full.
    """
    hop = np.maximum(room - room // 2, 1)
    return np.where(step < room, 0, ((step - room) // hop + 1) * hop)


class Policy:
    """A model that acts. Stateful: `reset()` begins a new drive.

    `sampling` says how heads with classes choose; `cache=False` computes the whole context anew
    at every step (the same actions, slowly).
    """

    def __init__(
        self, model: Model, *, sampling: Sampling | None = None, cache: bool = True, seed: int = 0
    ) -> None:
        self.model = model.eval()
        self.config = model.config
        self.device = next(model.parameters()).device
        self.sampling = sampling or Sampling()
        self.cached = cache
        self.low = np.array(self.config.action_low, np.float32)
        self.high = np.array(self.config.action_high, np.float32)
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """Forget the drive; with a seed, also begin the random draws anew."""
        if seed is not None:
            self.generator = torch.Generator(self.device).manual_seed(seed)
        self.step = -1
        self.cache: Cache | None = None

    @torch.no_grad()
    def act(
        self,
        obs: np.ndarray,
        text: Sequence[str] | None = None,
        bd: np.ndarray | None = None,
    ) -> np.ndarray:
        """Actions [N, n_act] float32 for observations [N, n_obs], clipped and rounded as recorded.

        `text` (N descriptions) and `bd` [N, n_bd] are the command; None switches one off. They
        are taken at the first call after `reset()` and stay; later calls may leave them out.
        """
        obs = np.asarray(obs, np.float32)
        if obs.ndim != 2 or obs.shape[1] != self.config.n_obs:
            raise InputError(
                f"observations have shape {list(obs.shape)}, expected [N, {self.config.n_obs}]"
            )
        if self.step < 0:
            self._begin(len(obs), text, bd)
        if len(obs) != self.rows:
            raise InputError(f"{len(obs)} observations in a drive of {self.rows}: call reset()")
        self.step += 1
        if self.step >= self.config.max_steps:
            raise InputError(
                f"step {self.step}: the model knows trajectories of {self.config.max_steps} "
                "steps; call reset() to begin a new drive"
            )
        self.obs[:, self.step] = torch.from_numpy(obs)
        if self.config.odometry is not None:
            if self.step:
                last = self.action[:, self.step - 1].cpu().numpy()
                self.reckoned = self.config.odometry.advance(self.reckoned, last, obs)
            self.pose[:, self.step] = torch.from_numpy(self.reckoned.astype(np.float32))
        if self.config.trail:
            been = self.trail.visit(self.config.cells(self.reckoned), self.step)
            self.been[:, self.step % self.been.shape[1]] = been.to(self.device)
        hidden = self._hidden()
        action = self.model.head.sample(hidden, self.sampling, self.generator).cpu().numpy()
        action = np.clip(action, self.low, self.high)
        if self.config.action_decimals is not None:
            action = np.round(action, self.config.action_decimals)
        action = action.astype(np.float32)
        self.action[:, self.step] = torch.from_numpy(action)
        return action

    def _begin(self, rows: int, text: Sequence[str] | None, bd: np.ndarray | None) -> None:
        config, device = self.config, self.device
        if text is not None and len(text) != rows:
            raise InputError(f"{len(text)} texts for {rows} observations: give one each")
        table = self.model.text.prepare(text) if text else self.model.text.nothing()
        chosen = np.arange(rows) if text else np.full(rows, -1)
        _, _, lengths = table.take(chosen)
        room = config.room(lengths)
        if (room < 1).any():
            i = int(np.argmin(room))
            raise InputError(
                f"text {i} takes {lengths[i]} tokens of the {config.block_size} of a row: no step "
                f"fits beside it; shorten it: {text[i][:60] if text else ''!r}"
            )
        values = np.zeros((rows, config.n_bd), np.float32) if bd is None else np.asarray(bd)
        if values.shape != (rows, config.n_bd) or not np.isfinite(values).all():
            raise InputError(
                f"bd has shape {list(values.shape)}, expected [{rows}, {config.n_bd}] finite"
            )
        self.rows, self.table, self.text_row = rows, table, chosen
        self.text_lengths, self.room = lengths, room
        self.bd = torch.from_numpy(values.astype(np.float32)).to(device)
        self.bd_off = torch.full((rows,), bd is None, device=device)
        self.obs = torch.zeros(rows, config.max_steps, config.n_obs, device=device)
        self.action = torch.zeros(rows, config.max_steps, config.n_act, device=device)
        if config.odometry is not None:
            self.reckoned = config.odometry.begin(rows)
            self.pose = torch.zeros(rows, config.max_steps, 3, device=device)
        if config.trail:
            self.trail = Trail(rows, config.trail)
            # Of no more steps than a window holds, for one is large.
            held = min(int(room.max()), config.max_steps)
            self.been = torch.zeros(rows, held, 2 * config.trail**2, device=device)
        if self.cached:
            longest = lengths + config.step_tokens * np.minimum(room, config.max_steps)
            self.cache = Cache(config.trunk, rows, int(longest.max()), self.obs)
            self.bd_token = self.model.stream.token("bd", self.bd, self.bd_off)

    def _hidden(self) -> Tensor:
        """Hidden states [N, C] that predict the action of the current step."""
        start = window_start(self.step, self.room)
        if self.cache is None or self.step == 0:
            return self._whole(start)
        before = window_start(self.step - 1, self.room)
        hops = start != before
        rooms = np.unique(self.room[hops])  # rows with room for equally many steps hop alike
        if hops.all() and len(rooms) == 1:
            return self._steps(np.arange(self.rows), int(start[0]))
        # Rows that hop are computed along with the others and then overwritten: their place in
        # the cache stays within the row, and what it holds is not read again.
        hidden = self._extend(before)
        for room in rooms:
            rows = np.flatnonzero(hops & (self.room == room))
            found = self._steps(rows, int(start[rows[0]]))
            hidden[torch.from_numpy(rows).to(self.device)] = found
        return hidden

    def _whole(self, start: np.ndarray) -> Tensor:
        """Compute the whole windows of all rows; with a cache, fill it."""
        n, device = self.step + 1 - start, self.device
        row, inner = ragged(n)
        time = start[row] + inner
        text, position, lengths = self.table.take(self.text_row)
        place, read = pack(lengths, n, self.config.step_tokens, self.config.read_at)
        # The action of the current step is still unknown: zeros stand there, after the token
        # that is read, and their column of the cache is overwritten at the next step.
        which = torch.from_numpy(row).to(device)
        when = torch.from_numpy(time).to(device)
        batch = Batch(
            text=text.to(device),
            text_position=position.to(device),
            values={
                "bd": self.bd,
                "obs": self.obs[which, when],
                "action": self.action[which, when],
                **self._reckoned(which, when),
            },
            off={"bd": self.bd_off},
            row=which,
            time=when,
            place=torch.from_numpy(place).to(device),
            read=torch.from_numpy(read[np.cumsum(n) - 1]).to(device),
        )
        return self.model(batch, None if self.cache is None else Write(self.cache))

    def _reckoned(self, row: Tensor, time: Tensor) -> dict[str, Tensor]:
        """What the robots reckoned at some steps: values of the slots place and trail."""
        found = {}
        if self.config.odometry is not None:
            found["pose"] = self.pose[row, time]
        if self.config.trail:
            found["trail"] = self.been[row, time % self.been.shape[1]]
        return found

    def _steps(self, rows: np.ndarray, start: int) -> Tensor:
        """Compute the steps from `start` on of some rows, behind their texts in the cache."""
        assert self.cache is not None
        n, device = self.step + 1 - start, self.device
        own = torch.from_numpy(rows).to(device)
        row = torch.arange(len(rows), device=device).repeat_interleave(n)
        time = torch.arange(start, self.step + 1, device=device).repeat(len(rows))
        which, bd, off = own[row], self.bd[own], {"bd": self.bd_off[own]}
        values = {"bd": bd, "obs": self.obs[which, time], "action": self.action[which, time]}
        values |= self._reckoned(which, time)
        x = self.model.embed_steps(values, off, row, time)
        size, read_at = self.config.step_tokens, self.config.read_at
        x = x.view(len(rows), n * size, -1)[:, : (n - 1) * size + read_at + 1]
        columns = torch.from_numpy(self.text_lengths[rows]).to(device)[:, None]
        columns = columns + torch.arange(x.shape[1], device=device)
        some = None if len(rows) == self.rows else own
        return self.model.trunk.extend(x, self.cache, columns, rows=some)

    def _extend(self, start: np.ndarray) -> Tensor:
        """Add the last action, the bd and the observation of every row to the cache."""
        stream, step, size = self.model.stream, self.step, self.config.step_tokens
        before, now = stream.time.weight[step - 1], stream.time.weight[step]
        obs = stream.token("obs", self.obs[:, step])
        if self.config.odometry is not None:
            place = self.model.place(self.pose[:, step], self.bd, self.bd_off)
            obs = obs + stream.token("place", place)
        if self.config.trail:
            obs = obs + stream.token("trail", self.been[:, step % self.been.shape[1]])
        shown = not (self.config.one_token and self.config.hide_actions)
        action = stream.token("action", self.action[:, step - 1]) if shown else 0.0
        if self.config.one_token:
            tokens = [self.bd_token + obs + action + now]
        else:
            tokens = [action + before, self.bd_token + now, obs + now]
        last = self.text_lengths + size * (step - start) + self.config.read_at
        columns = last[:, None] + np.arange(1 - len(tokens), 1)
        assert self.cache is not None
        columns = np.minimum(columns, self.cache.columns - 1)
        where = torch.from_numpy(columns).to(self.device)
        return self.model.trunk.extend(torch.stack(tokens, dim=1), self.cache, where)


def load(
    path: Path | str, *, sampling: Sampling | None = None, cache: bool = True, device: str = "cpu"
) -> Policy:
    """The policy of a model folder, or of a model on the Hugging Face Hub by its id."""
    return Policy(load_model(path, device), sampling=sampling, cache=cache)


def load_model(path: Path | str, device: str = "cpu") -> Model:
    """The model of a folder or Hub id, with its text encoder attached, ready to act."""
    folder = model_folder(path)
    config_path, weights_path = folder / CONFIG, folder / WEIGHTS
    for file in (config_path, weights_path):
        if not file.exists():
            raise InputError(f"{file} does not exist: {folder} is not a trained model")
    try:
        config = ModelConfig.from_json(json.loads(config_path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{config_path} is not a model configuration: {error}") from error
    model = Model(config)
    weights = read_weights(weights_path, "train it again")
    bad = [name for name, w in weights.items() if not torch.isfinite(w).all()]
    if bad:
        raise InputError(f"{weights_path}: NaN or infinite numbers in {bad[0]}")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{weights_path} does not fit {config_path}: {reason}") from None
    attach_source(model.text, config.text, folder)
    return model.to(device).eval()


def model_folder(path: Path | str) -> Path:
    """The folder of a model: the path itself, or where the Hub's model of that id was put."""
    folder, name = Path(path), str(path)
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(f"{name} is neither a model folder nor a Hub id like user/model")
    from huggingface_hub import snapshot_download  # slow to import

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # many kinds: no network, no such repository, no right to it
        reason = str(error).splitlines()[0]
        raise InputError(f"{name} is no folder here and not on the Hub ({reason})") from error
