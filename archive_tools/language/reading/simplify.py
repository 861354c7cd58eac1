"""English in fewer words: a text as a short string in which places and directions are single signs.

"Then it rolled slowly across the fridge, and stopped at its lower left." becomes something like
"then it roll over P , and stop at its D .": verbs in base form, common synonyms of prepositions as
one word, fillers gone, P a sign for a place and D one for a direction. The rules of `roles` and
`order` are written over such strings.
"""

import re
from dataclasses import dataclass

from archive_tools.language.reading.cues import COMPASS_OF, DIRECTIONS, FILLERS, LEMMAS, ROOM_NOUNS
from archive_tools.language.reading.lexicon import LETTER, Lexicon, Sense, correct

PLACEHOLDER = "<DESCRIPTOR>"
FIRST_PLACE = 0xE000
FIRST_DIRECTION = 0xF000
FIRST_SIGN, LAST_SIGN = "\ue000", "\uefff"
P = "[\ue000-\uefff]"
"""Regular expression of a place's sign."""
D = "[\uf000-\uf007]"
"""Regular expression of a direction's sign."""
_CODES = ("n", "ne", "e", "se", "s", "sw", "w", "nw")

_RAW = re.compile(
    rf"<descriptor>|\bw/o?(?= )|{LETTER}+(?:'{LETTER}+)*|\d+|[.,;:!?()&\u2026\u2014\u2013]"
    r"|[-=~]+>+|(?<= )>+(?= )|[\u2192\u21d2]|=+|(?<= )-+(?= )"
)
_CLOCK = re.compile(r"(?:counter|anti)[- ]?clock[- ]?wise")
_ATOP = re.compile(r"\b(?:right |directly |squarely )?on top of\b")
_CONTRACTED = {
    "'s": "'s", "'re": "are", "'ll": "", "'d": "", "'ve": "have", "'m": "am", "n't": "not",
}  # fmt: skip
_IS = frozenset(["that", "it", "let", "there", "here", "he", "she", "what", "where", "who"])
_BEFORE_FILLER_RIGHT = frozenset(
    [
        "over",
        "across",
        "through",
        "into",
        "onto",
        "on",
        "at",
        "under",
        "below",
        "beneath",
        "above",
        "by",
        "behind",
        "before",
        "after",
        "beside",
        "next",
        "up",
        "down",
        "in",
        "inside",
        "past",
        "round",
        "around",
        "against",
        "underneath",
        "to",
        "where",
        "when",
        "back",
        "away",
        "now",
        "between",
        "beyond",
        "off",
        "along",
    ]
)
_BEFORE_SIDE_RIGHT = frozenset(
    (
        "the",
        "to",
        "lower",
        "upper",
        "its",
        "top",
        "bottom",
        "turn",
        "turned",
        "on",
        "further",
        "your",
    )
)
_PHRASES = (
    (re.compile(r"\bso much as "), ""),
    (re.compile(rf"\b(end|finish|conclude) with (?={P}(?! (?:on|to|at)\b))"), r"\1 at "),
    (  # "do not go to the sofa until you have been to the plant"
        re.compile(
            rf"\b(?:do )?not ((?:[a-z]+ )+{P}) (?:until|before|unless|without)"
            r"(?= (?:you |it )?have\b)"
        ),
        r"\1 after",
    ),
)
"""What several words say, said as one: places keep their order."""
_DROPPED = frozenset(["up", "down", "well", "maybe", "perhaps", "me", "us", "i", "we", "robot'"])


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a text."""

    sense: Sense
    start: int
    end: int
    """The words are text[start:end]."""


@dataclass
class Simple:
    """A simplified text."""

    line: str
    places: list[Span]
    """By the number that a sign stands for."""
    masked: str
    """The text in lower case, with the places' letters replaced by `#`."""

    def place_at(self, position: int) -> int:
        """Number of the place whose sign is at `position` of `line`."""
        return ord(self.line[position]) - FIRST_PLACE


def direction_of(sign: str) -> str:
    """The compass word of a direction's sign."""
    return COMPASS_OF[_CODES[ord(sign) - FIRST_DIRECTION]]


@dataclass(slots=True)
class _Token:
    word: str
    start: int
    end: int
    place: int = -1


def _tokens(lower: str, words: Lexicon) -> list[_Token]:
    tokens: list[_Token] = []
    lower = _ATOP.sub(lambda m: "atop".ljust(len(m.group())), lower)
    lower = _CLOCK.sub(lambda m: "anticlockwise".ljust(len(m.group())), lower)
    for match in _RAW.finditer(lower):
        word, start, end = match.group(), match.start(), match.end()
        if "'" in word:
            base, _, tail = word.rpartition("'")
            tail = "'" + tail
            if tail == "'t" and base.endswith("n"):
                base, tail = (base if base == "can" else base[:-1]), "n't"
                base = {"wo": "will", "sha": "shall", "ca": "can"}.get(base, base)
            base = base.replace("'", "")
            tokens.append(_Token(correct(base, words), start, start + len(base)))
            plain = "is" if tail == "'s" and base in _IS else _CONTRACTED.get(tail, tail)
            if plain:
                tokens.append(_Token(plain, end, end))
        else:
            word = correct(word, words) if word.isalpha() else word
            tokens.append(_Token(word, start, end))
    return tokens


def simplify(text: str, words: Lexicon) -> Simple:
    """Simplify a text about the scene of a lexicon."""
    lower = text.replace("\u2019", "'").replace("\u2011", "-").lower()
    if len(lower) != len(text):  # a letter that lower case makes longer would shift the spans
        lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    tokens = _tokens(lower, words)
    spans: list[Span] = []
    tokens = _mark_places(tokens, words, spans)
    tokens = _join_rooms(tokens, words, spans)
    spans = _renumber(tokens, spans)
    masked = list(lower)
    for span in spans:
        masked[span.start : span.end] = "#" * (span.end - span.start)
    return Simple(_line(tokens), spans, "".join(masked))


def _mark_places(tokens: list[_Token], words: Lexicon, spans: list[Span]) -> list[_Token]:
    out: list[_Token] = []
    k = 0
    while k < len(tokens):
        token = tokens[k]
        longest = words.longest.get(token.word, 0)
        for length in range(min(longest, len(tokens) - k), 0, -1):
            sense = words.senses.get(tuple(t.word for t in tokens[k : k + length]))
            after = tokens[k + length].word if k + length < len(tokens) else ""
            if sense is not None and after != "time":
                last = tokens[k + length - 1]
                spans.append(Span(sense, token.start, last.end))
                out.append(_Token("", token.start, last.end, len(spans) - 1))
                k += length
                break
        else:
            out.append(token)
            k += 1
    return out


def _renumber(tokens: list[_Token], spans: list[Span]) -> list[Span]:
    """Number the places that are left; returns their spans."""
    left = []
    for token in tokens:
        if token.place >= 0:
            left.append(spans[token.place])
            token.place = len(left) - 1
    return left


def _join_rooms(tokens: list[_Token], words: Lexicon, spans: list[Span]) -> list[_Token]:
    """Make one place of a colour and its noun, of two names of a room, and of "tub room"."""
    out: list[_Token] = []
    for token in tokens:
        before = out[-1] if out else None
        if before is not None and before.place >= 0:
            span = spans[before.place]
            if token.word in ROOM_NOUNS:
                if span.sense.kind == "object":
                    under = tuple(t for n in span.sense.names for t in words.containing.get(n, ()))
                    if token.word != "room" or not under:
                        out.append(token)
                        continue
                    span = Span(Sense(under, "room"), span.start, token.end)
                spans[before.place] = Span(span.sense, span.start, token.end)
                before.end = token.end
                continue
            if token.place >= 0:
                other = spans[token.place]
                both = set(span.sense.names) & set(other.sense.names)
                if span.sense.kind == "tile" and other.sense.kind == "object":
                    stands = {t for n in other.sense.names for t in words.containing.get(n, ())}
                    if stands & set(span.sense.names):  # "the purple desk" of the purple room
                        spans[before.place] = Span(other.sense, other.start, other.end)
                        continue
                if both and "object" not in (span.sense.kind, other.sense.kind):
                    names = tuple(n for n in span.sense.names if n in both)
                    spans[before.place] = Span(Sense(names, span.sense.kind), span.start, other.end)
                    before.end = other.end
                    continue
            if token.word in ("middle", "central", "corner") and span.sense.kind == "tile":
                out.append(token)
                continue
        if (
            token.place >= 0
            and len(out) > 1
            and before is not None
            and before.word in ("middle", "central", "corner", "floored", "coloured")
            and out[-2].place >= 0
            and set(spans[out[-2].place].sense.names) & set(spans[token.place].sense.names)
        ):
            out.pop()
            continue
        out.append(token)
    return out


def _line(tokens: list[_Token]) -> str:
    parts: list[str] = []
    k, count = 0, len(tokens)
    while k < count:
        token = tokens[k]
        if token.place >= 0:
            parts.append(chr(FIRST_PLACE + token.place))
            k += 1
            continue
        word = token.word
        if word in DIRECTIONS and not _is_no_direction(tokens, k):
            code = DIRECTIONS[word]
            k += 1
            hand = False
            while k < count and (
                tokens[k].word in DIRECTIONS or tokens[k].word in ("hand", "most", "and")
            ):
                extra = DIRECTIONS.get(tokens[k].word, "")
                if tokens[k].word == "and":
                    following = DIRECTIONS.get(tokens[k + 1].word, "") if k + 1 < count else ""
                    if (
                        code + following not in COMPASS_OF and following + code not in COMPASS_OF
                    ) or not following:
                        break
                elif extra:
                    code = next((c for c in (code + extra, extra + code) if c in COMPASS_OF), extra)
                hand = hand or tokens[k].word == "hand"
                k += 1
            parts.append(chr(FIRST_DIRECTION + _CODES.index(code)))
            if hand:
                parts.append("hand")
            continue
        if word in ("left", "right"):
            word = "leave" if word == "left" else ""
        if word.endswith("ing") and word in LEMMAS and parts and parts[-1] == ",":
            parts.append("ing")
        word = LEMMAS.get(word, word)
        if word in ("straight", "directly", "direct") and {"not", "never", "than", "of"} & set(
            parts[-3:]
        ):
            parts.append("straight")
        if word and word not in FILLERS and word not in _DROPPED:
            parts.append(
                word
                if word.isalpha()
                else ", then"
                if word[-1] in ">\u2192\u21d2" and not word.strip("-=~>\u2192\u21d2")
                else ","
                if word[-1] in "-\u2013\u2014"
                else {"\u2026": "."}.get(word, ":" if word[0] == "=" else word)
            )
        k += 1
    line = " ".join(parts)
    for pattern, said in _PHRASES:
        line = pattern.sub(said, line)
    return line


def _is_no_direction(tokens: list[_Token], k: int) -> bool:
    """Whether "left" is a verb, or "right" says "straight"."""
    word = tokens[k].word
    after = tokens[k + 1].word if k + 1 < len(tokens) else ""
    before = tokens[k - 1].word if k else ""
    if word == "right":
        return after in _BEFORE_FILLER_RIGHT and before not in _BEFORE_SIDE_RIGHT
    if word == "left":
        if after in ("alone", "out", "untouched", "behind"):
            return True
        place = k + 1 < len(tokens) and tokens[k + 1].place >= 0
        if after == "the" and k + 2 < len(tokens) and tokens[k + 2].place >= 0:
            place = True
        return place and before in (
            "it",
            "robot",
            "then",
            "having",
            "has",
            "i",
            "we",
            "and",
            "soon",
        )
    if word in ("low", "high"):
        return before in ("too", "so", "how") or after in ("on", "speed")
    return False
