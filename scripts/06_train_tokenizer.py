"""Learn a small tokenizer from the training texts, and compare it with others.

Reads dataset/, writes tokenizer/: tokenizer.json (byte-level BPE, Hugging Face format) and a table,
comparison.json and comparison.md: vocabulary, tokens per text and the parameters it costs, beside
tiktoken, BERT WordPiece and sentence embeddings. A vocabulary that is neither on this machine nor
to be fetched within seconds is a note in the table.

Example: python scripts/06_train_tokenizer.py --run runs/demo --vocab-size 900
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from archive_tools.files import atomic_write, read_json, read_table, write_json
from archive_tools.run import Stage, StageConfig, bounds, main
from envs import InputError
from nanodt import train_tokenizer
from nanodt.text.comparison import comparison, to_markdown

LEAST, MOST = 258, 1_000_000


@dataclass
class Config(StageConfig):
    """Learn the tokenizer."""

    vocab_size: Annotated[int, Ge(LEAST), Le(MOST)] = 900
    """At most so many tokens: 258 (the bytes and two special tokens) to a million."""
    n_embd: bounds.Count = 128
    """Width of the model, for the column of parameters in the comparison."""
    patience: bounds.NonNegative = 6.0
    """Seconds to wait for each vocabulary that would have to be fetched."""

    not_fingerprint: ClassVar[set[str]] = {"patience"}


def run(config: Config) -> Path:
    """Stage 06: dataset → `tokenizer/`.

    Raises:
        InputError: the vocabulary is too small for the bytes, or the dataset is missing or stale.
    """
    with Stage(config, "tokenizer", inputs=("dataset",)) as stage:
        if stage.done:
            return stage.folder
        texts = _texts(stage.input("dataset"))
        if not texts.get("train"):
            raise InputError(
                f"{stage.input('dataset')}: no text in the split train; make it again with "
                f"`python scripts/05_verify_dataset.py --run {config.run} --redo`"
            )
        tokenizer = train_tokenizer(texts["train"], config.vocab_size)
        tokenizer.save(stage.path("tokenizer.json"))
        everything = [text for own in texts.values() for text in own]
        rows = comparison(everything, tokenizer, n_embd=config.n_embd, patience_s=config.patience)
        write_json(stage.path("comparison.json"), [asdict(row) for row in rows])
        atomic_write(stage.path("comparison.md"), to_markdown(rows))
        print(to_markdown(rows))
        stage.rows["texts"] = len(texts["train"])
        stage.facts.update(
            vocabulary=tokenizer.vocabulary,
            tokens_per_text=round(rows[0].tokens_mean or 0.0, 1),
            longest_text=rows[0].tokens_max,
        )
    return stage.folder


def _texts(dataset: Path) -> dict[str, list[str]]:
    """What policies are told, by split; the augmentation is for training."""
    columns = read_json(dataset / "dataset.json").get("text_columns", ["texts"])
    texts: dict[str, list[str]] = {}
    for name in ("trajectories.parquet", "augmentation.parquet"):
        if (dataset / name).exists():
            table = read_table(dataset / name, ("split", *columns))
            for split, rows in table.groupby("split"):
                told = texts.setdefault(str(split), [])
                told += [text for column in columns for row in rows[column] for text in row]
    return texts


if __name__ == "__main__":
    main(run, Config, __doc__)
