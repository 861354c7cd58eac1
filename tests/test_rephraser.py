"""The rephraser: known texts stay, unknown words become the likeliest known ones."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanodt import InputError, Rephraser, load_rephraser
from nanodt.text.rephraser import END, LEFT_OUT, PART, SMOOTHING, STRENGTH, Bigrams

TEXTS = [
    "Go past the fridge, then stop by the bed.",
    "Go through the red tile and stop at <DESCRIPTOR>.",
    "Now please drive by the bed, then cross the red tile.",
    "Could you go past the statue and the fridge?",
    "The robot's way: past the north-west corner.",
]
MEANINGS = ("fridge icebox", "statue figure", "bed bedstead", "go proceed", "stop halt Settle",
            "red crimson", "tile slab", "by alongside", "cross traverse", "then afterwards",
            "please kindly")  # fmt: skip


def embed(words):
    """Words of one meaning are alike, all others have nothing in common but a little chance."""
    group = {w.lower(): i for i, words in enumerate(MEANINGS) for w in words.split()}
    rows = []
    for word in words:
        row = np.random.default_rng(sum(map(ord, word))).normal(0, 0.02, 64)
        if word in group:
            row[group[word]] += 1
        rows.append(row)
    return np.array(rows)


@pytest.fixture(scope="module")
def rephraser():
    return Rephraser(Bigrams.of(TEXTS), embed)


def test_unseen_words_are_read_as_the_known_ones_of_their_meaning(rephraser):
    assert rephraser(["Proceed past the icebox, afterwards halt alongside the bedstead."]) == [
        "Go past the fridge, then stop by the bed."
    ]
    assert rephraser(["kindly traverse the crimson slab."]) == ["please cross the red tile."]
    assert rephraser(["Settle at <DESCRIPTOR>."]) == ["Stop at <DESCRIPTOR>."]


def test_words_without_a_like_are_left_out_and_marks_too(rephraser):
    text = "Go past the enormous fridge; then stop by the bed!"
    assert rephraser([text]) == ["Go past the fridge then stop by the bed"]
    assert rephraser(["Verily go past the statue."]) == ["Go past the statue."]
    assert rephraser(["Verily, go past the statue, verily."]) == ["Go past the statue."]
    assert rephraser(["Stop at <DESCRIPTOR>. En route, go past the bed, verily."]) == [
        "Stop at <DESCRIPTOR>. Go past the bed."
    ]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('Go past the "fridge".', "Go past the fridge."),
        ("Go past the (fridge).", "Go past the fridge."),
        ("past the fridge—then", "past the fridge then"),
        ("bed / fridge!", "bed fridge"),
        ("the north\u2011west corner", "the north-west corner"),
        (" Go  past the\nbed. ", " Go  past the\nbed. "),
    ],
)
def test_what_is_left_out_joins_no_words(rephraser, text, read):
    assert rephraser([text]) == [read]


def test_the_stone_figure_is_a_statue(rephraser):
    assert rephraser(["the stone figure"]) == ["the statue"]


def test_neighbours_decide_between_likes():
    """ "halt" means to stop and to wait: it is read as what follows the word before."""
    likes = {"halt": [1, 1, 0], "stop": [1, 0, 0], "wait": [0, 1, 0]}
    rephraser = Rephraser(
        Bigrams.of(["Please stop now.", "Then wait now."] * 5),
        lambda words: np.array([likes.get(word, [0, 0, 1]) for word in words], float),
    )
    assert rephraser(["Please halt now.", "Then halt now."]) == [
        "Please stop now.",
        "Then wait now.",
    ]


def test_known_words_in_other_letters_are_written_as_training_wrote_them(rephraser):
    assert rephraser(["go PAST the Fridge, then stop by the bed."]) == [
        "go past the fridge, then stop by the bed."
    ]
    assert rephraser(["The ICEBOX"]) == ["The fridge"]
    assert rephraser(["The robot’s way"]) == ["The robot's way"]


@pytest.mark.parametrize("text", ["", " ", "!", "zyzzyva", "<end>", "<b>", "İß _x 12"])
def test_texts_of_nothing_known_are_left_empty(rephraser, text):
    assert rephraser([text])[0].strip() == ""


forms = sorted({part for text in TEXTS for part in PART.findall(text)})


@given(st.lists(st.tuples(st.sampled_from(forms), st.sampled_from([" ", "  ", "\n", ", "]))))
def test_texts_of_known_words_come_back_unchanged(parts):
    text = "".join(word + gap for word, gap in parts)

    def never(words):
        raise AssertionError("nothing to look up")

    assert Rephraser(Bigrams.of(TEXTS), never)([text, ""]) == [text, ""]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["the", "red", "icebox", "slab", "yonder", ".", "!"]), max_size=4))
def test_the_likeliest_reading_is_found(words):
    """Against all readings, one by one."""
    small = ["the red tile.", "the fridge.", "the tile by the fridge."]
    wording = Bigrams.of(small)
    rephraser = Rephraser(wording, embed)
    parts = [PART.findall(text) for text in small]
    follows = [p for text in parts for p in itertools.pairwise([END, *text, END])]
    known = sorted({w for text in parts for w in text})
    share = {w: 0.5 + sum(b == w for _, b in follows) for w in (*known, END)}
    total = sum(share.values())
    alike = embed(known) / np.linalg.norm(embed(known), axis=1, keepdims=True)

    def chance(a, b):
        seen = follows.count((a, b)) / max(1, sum(first == a for first, _ in follows))
        return math.log((1 - SMOOTHING) * seen + SMOOTHING * share[b] / total)

    def worth(reading):
        line = [END, *(w for w in reading if w is not None), END]
        value = sum(chance(a, b) for a, b in itertools.pairwise(line))
        for old, new in zip(words, reading, strict=True):
            if old not in known and old.isalpha():
                one = embed([old])[0]
                cosine = LEFT_OUT if new is None else one @ alike[known.index(new)]
                value += STRENGTH * (cosine / (1 if new is None else np.linalg.norm(one)) - 1)
        return value

    options = []
    for word in words:
        other = [w for w in known if w.isalpha()] if word.isalpha() else []
        options.append([word] if word in known else [*other, None])
    best = max(worth(reading) for reading in itertools.product(*options))
    rephraser(words)  # looks the words up
    assert worth(rephraser._decode(words)) == pytest.approx(best)


def test_words_are_kept_in_a_file(tmp_path, rephraser):
    Bigrams.of(TEXTS).save(tmp_path)
    before = (tmp_path / "words.json").read_bytes()
    text = "Proceed past the icebox!"
    assert Rephraser(Bigrams.load(tmp_path), embed)([text]) == rephraser([text])
    Bigrams.of(TEXTS[::-1]).save(tmp_path)
    assert (tmp_path / "words.json").read_bytes() == before, "the order of texts is of no account"


def test_the_same_counts_from_a_file_of_another_version(tmp_path):
    """The file's layout is fixed: pairs count the sorted words with the mark of the ends."""
    Bigrams.of(["b a.", "A b."]).save(tmp_path)
    found = json.loads((tmp_path / "words.json").read_text())
    words = [".", "<|end|>", "a", "b"]
    assert found["forms"] == [".", "A", "a", "b"]
    named = {(words[i], words[j]): n for i, j, n in found["pairs"]}
    assert named == {
        ("<|end|>", "a"): 1, ("<|end|>", "b"): 1, ("a", "b"): 1, ("b", "a"): 1, ("a", "."): 1,
        ("b", "."): 1, (".", "<|end|>"): 2,
    }  # fmt: skip


UNFIT = [
    "",
    "[]",
    '{"forms": ["a"]}',
    '{"forms": [], "pairs": [[9]]}',
    '{"forms": [1], "pairs": []}',
]


@pytest.mark.parametrize("content", UNFIT)
def test_unfit_files_are_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"words\.json does not exist: the model was"):
        load_rephraser(tmp_path, "any")
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(InputError, match=r"words\.json is not a list of words"):
        load_rephraser(tmp_path, "any")


def test_counts_of_words_that_are_not_there_are_refused(tmp_path):
    found = {"forms": ["a"], "pairs": [[0, 7, 1]]}
    (tmp_path / "words.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match="is not a list of words"):
        load_rephraser(tmp_path, "any")


def test_an_encoder_that_is_not_there_is_told_in_one_line(tmp_path):
    Bigrams.of(TEXTS).save(tmp_path)
    rephraser = load_rephraser(tmp_path, str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"none.* cannot be loaded") as error:
        rephraser(["Go past the icebox."])
    assert "\n" not in str(error.value)
