"""Texts that a language model writes: prompts from facts, asked again with what was wrong."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel

import prompts
from archive_tools.descriptions.jobs import Job, narrate_one, row_of
from archive_tools.descriptions.prompt_facts import drive_facts, route_facts, scene_facts
from archive_tools.language import MAX_WORDS, PLACEHOLDER, check_text, mend_form
from archive_tools.llm import Asker, Price, count_tokens, counts_exactly
from archive_tools.narrator import UNFORMED, VOICES, Alternatives
from envs.scene import Scene

REPLY_TOKENS = 60.0
"""Tokens that a reply is reckoned to have, in an estimate."""


class Description(BaseModel):
    """What a model is asked for."""

    text: str


@dataclass(frozen=True)
class LlmWriter:
    """A language model that writes the texts of one scene."""

    model: str
    """Its name, the source of its rows."""
    scene: Scene
    """The objects and tiles that exist."""
    max_words: int = MAX_WORDS
    """Longest text."""
    reasks: int = 2
    """How often it is asked again, with the reason, when a text fails its checks."""
    alternatives: Alternatives | None = None
    """The drives among which each is to be told apart."""
    draft_seed: int | None = None
    """With a seed, the model says a text of the narrator in other words: a task for small models,
    and a short prompt."""

    def draft_of(self, job: Job) -> str:
        """The narrator's text for a job."""
        assert self.draft_seed is not None
        return narrate_one(
            job, self.scene, self.draft_seed, alternatives=self.alternatives,
            max_words=self.max_words,
        )[0]  # fmt: skip

    def prompt_of(self, job: Job, mistakes: Sequence[str] = (), earlier: str = "") -> str:
        """The rendered prompt of a job; `mistakes` are the reasons why `earlier` was refused."""
        if self.draft_seed is not None:
            return prompts.render(
                "reword", draft=self.draft_of(job), mistakes=list(mistakes), earlier=earlier
            )
        voice = VOICES[job.style]
        return prompts.render(
            "description",
            **scene_facts(self.scene),
            **drive_facts(job.annotation, self.scene),
            **route_facts(job.annotation, self.scene, self.alternatives),
            voice=voice.speaker,
            example=voice.example,
            descriptor=job.descriptor,
            max_words=self.max_words,
            variant=job.sample + 1,
            mistakes=list(mistakes),
            earlier=earlier,
        )

    async def ask_for_text(self, asker: Asker, job: Job) -> dict[str, Any]:
        """A row of descriptions; after the last refusal it is a rejected one with its reasons."""
        text, reasons = "", list[str]()
        for attempt in range(self.reasks + 1):
            prompt = self.prompt_of(job, reasons, text)
            # Trajectories whose prompts are equal still get texts of their own.
            sample = f"{job.trajectory_id}.{job.sample}.{attempt}"
            answer = await asker.ask(prompt, Description, sample, again=attempt > 0)
            if answer.value is None:
                text, reasons = " ".join(answer.content.split())[:500], [answer.problem]
                if answer.final:
                    break
                continue
            text = " ".join(answer.value.text.split())
            if job.style not in UNFORMED:
                text = mend_form(text)
            reasons = check_text(text, job.annotation, self.scene, max_words=self.max_words)
            reasons += self._of_the_task(job, text)
            if not reasons:
                break
        return row_of(job, self.model, text, reasons)

    def _of_the_task(self, job: Job, text: str) -> list[str]:
        """What a reply misses of what was asked, whether it is true or not."""
        wanted = job.descriptor
        reasons = []
        if self.draft_seed is not None:
            draft = self.draft_of(job)
            wanted = PLACEHOLDER in draft
            if _plain(draft) == _plain(text):
                reasons.append("repeats what it was given, word for word")
        if wanted and PLACEHOLDER not in text:
            reasons.append(f"{PLACEHOLDER} is missing")
        elif not wanted and PLACEHOLDER in text:
            reasons.append(f"{PLACEHOLDER} was not asked for")
        return reasons

    def estimate(self, jobs: Sequence[Job], price: Price) -> str:
        """One line on tokens and cost to expect, from a sample of the prompts and no re-asks."""
        step = max(1, len(jobs) // 200)
        counted = [count_tokens(self.prompt_of(job)) for job in jobs[::step]]
        tokens_in = float(np.mean(counted)) * len(jobs) if counted else 0.0
        tokens_out = REPLY_TOKENS * len(jobs)
        usd = price.of(tokens_in, tokens_out)
        how = "counted with tiktoken" if counts_exactly() else "at 4 characters per token"
        cost = f", about ${usd:.2f}" if usd else "; no prices given, so no cost"
        return (
            f"{len(jobs):,} texts: about {tokens_in:,.0f} prompt tokens ({how}) and "
            f"{tokens_out:,.0f} reply tokens{cost}"
        )


def _plain(text: str) -> list[str]:
    return re.findall(r"[a-z<>]+", text.lower())
