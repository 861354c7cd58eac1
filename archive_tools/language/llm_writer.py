"""Texts that a language model writes: prompts from facts, asked again with what was wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel

import prompts
from archive_tools.language.checks import MAX_WORDS, check_text
from archive_tools.language.jobs import Job, row_of
from archive_tools.language.prompt_facts import drive_facts, scene_facts
from archive_tools.language.reader import PLACEHOLDER
from archive_tools.llm.client import Asker
from archive_tools.llm.replies import Price, count_tokens, counts_exactly
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

    def prompt_of(self, job: Job, mistakes: Sequence[str] = (), earlier: str = "") -> str:
        """The rendered prompt of a job; `mistakes` are the reasons why `earlier` was refused."""
        return prompts.render(
            job.style,
            **scene_facts(self.scene),
            **drive_facts(job.annotation, self.scene),
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
            answer = await asker.ask(prompt, Description, sample)
            if answer.value is None:
                text, reasons = " ".join(answer.content.split())[:500], [answer.problem]
                if answer.refused:
                    break
                continue
            text = " ".join(answer.value.text.split())
            reasons = check_text(text, job.annotation, self.scene, max_words=self.max_words)
            if job.descriptor and PLACEHOLDER not in text:
                reasons.append(f"{PLACEHOLDER} is missing")
            elif not job.descriptor and PLACEHOLDER in text:
                reasons.append(f"{PLACEHOLDER} was not asked for")
            if not reasons:
                break
        return row_of(job, self.model, text, reasons)

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
