"""Words for things and colours: synonyms, known nouns, and the little grammar that names need.

The narrator picks from the synonyms, and the checks understand them, so both read this table.
Synonyms marked `held_out` never occur in training texts: they serve the test of unseen wording.
"""

import re
from dataclasses import dataclass

from envs.geometry import COMPASS


@dataclass(frozen=True)
class Synonyms:
    """Other words for a thing."""

    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Understood, never written."""

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.train, *self.held_out, *self.also)


SYNONYMS: dict[str, Synonyms] = {
    "armchair": Synonyms(("easy chair",), ("recliner",), ("arm chair",)),
    "bathtub": Synonyms(("tub",), ("bath",), ("bath tub",)),
    "bed": Synonyms((), ("bedstead",)),
    "bin": Synonyms(("dustbin",), ("waste basket",), ("trash can", "garbage can", "waste bin")),
    "bookshelf": Synonyms(("bookcase",), ("book rack",), ("book shelf", "shelf of books", "books")),
    "box": Synonyms((), ("crate",)),
    "cabinet": Synonyms(("cupboard",), ("closet",), ("filing cabinet",)),
    "chair": Synonyms((), ("seat",), ("dining chair", "wooden chair")),
    "clock": Synonyms((), ("timepiece",), ("grandfather clock",)),
    "computer": Synonyms((), (), ("pc", "desktop computer")),
    "counter": Synonyms(("worktop",), ("countertop",)),
    "desk": Synonyms(("writing desk",), ("workstation",), ("work desk",)),
    "dishwasher": Synonyms((), (), ("dish washer",)),
    "dresser": Synonyms(("chest of drawers",), ("bureau",), ("drawers",)),
    "fan": Synonyms(("electric fan",), ("ventilator",)),
    "fireplace": Synonyms((), ("hearth",)),
    "fridge": Synonyms(("refrigerator",), ("icebox",), ("freezer",)),
    "lamp": Synonyms(("floor lamp",), (), ("standing lamp", "table lamp")),
    "mirror": Synonyms((), ("looking glass",)),
    "nightstand": Synonyms(("bedside table",), ("night table",)),
    "oven": Synonyms((), (), ("baking oven",)),
    "painting": Synonyms(("picture",), ("canvas",)),
    "piano": Synonyms(("grand piano",), (), ("upright piano",)),
    "plant": Synonyms(
        ("houseplant", "potted plant"), ("pot plant",), ("house plant", "flowerpot", "flower pot")
    ),
    "rug": Synonyms((), ("carpet",), ("mat",)),
    "shelf": Synonyms((), ("rack",)),
    "shower": Synonyms((), (), ("shower cabin",)),
    "sink": Synonyms(("washbasin",), ("basin",), ("wash basin",)),
    "sofa": Synonyms(("couch",), ("settee",)),
    "statue": Synonyms(("sculpture",), ("stone figure",)),
    "stool": Synonyms((), ("footstool",)),
    "stove": Synonyms(("cooker",), ("oven",), ("cookstove", "hob")),
    "table": Synonyms((), ("dining table",), ("kitchen table", "dinner table")),
    "television": Synonyms(("tv",), ("telly",), ("tv set", "television set")),
    "toilet": Synonyms((), ("lavatory",), ("loo", "wc")),
    "tree": Synonyms(),
    "vase": Synonyms(),
    "wardrobe": Synonyms(("clothes cupboard",), ("armoire",)),
    "washing machine": Synonyms(("washer",), ("laundry machine",)),
}

# Rooms that people call by any of these words, whichever of them the scene has.
ROOM_SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("bathroom", "bath room", "washroom"),
    ("bedroom", "bed room", "sleeping room"),
    ("kitchen", "kitchenette"),
    ("living room", "lounge", "sitting room", "parlour", "parlor"),
    ("study", "office", "workroom", "home office"),
    ("hall", "hallway", "corridor", "entrance hall", "foyer"),
    ("dining room", "dining area", "dining hall"),
    ("music room", "piano room"),
    ("garage",),
    ("pantry", "larder"),
    ("laundry", "laundry room", "utility room"),
)

# Things and rooms that a text may not bring in when the scene lacks them.
KNOWN_THINGS = frozenset(SYNONYMS) | {
    *("aquarium", "bag", "ball", "balcony", "barrel", "basket", "bathroom", "bedroom", "bench"),
    *("bicycle", "bike", "bird", "blanket", "blender", "book", "bottle", "bowl", "bucket"),
    *("candle", "car", "cat", "ceiling", "chandelier", "chest", "coffee table", "couch table"),
    *("coat rack", "cradle", "crib", "curtain", "cushion", "dining room", "dog", "drawer"),
    *("dryer", "elevator", "fence", "flower", "fountain", "garage", "garden", "guitar"),
    *("hammock", "heater", "kettle", "kitchen", "ladder", "laptop", "living room", "mattress"),
    *("microwave", "monitor", "office", "ottoman", "pantry", "pillar", "pillow", "pool"),
    *("pool table", "pot", "printer", "radiator", "radio", "sculpture", "shoe", "side table"),
    *("speaker", "stairs", "staircase", "suitcase", "teapot", "telephone", "toaster", "towel"),
    *("toy", "umbrella", "vacuum cleaner", "window"),
}

# Colour words; the second of a pair is its other name.
COLOUR_SYNONYMS: dict[str, Synonyms] = {
    "gray": Synonyms((), ("grey",)),
    "grey": Synonyms((), ("gray",)),
    "purple": Synonyms((), ("violet",)),
    "violet": Synonyms((), ("purple",)),
    "pink": Synonyms((), (), ("rose-coloured",)),
    "turquoise": Synonyms((), ("teal",)),
}
COLOURS = frozenset(COLOUR_SYNONYMS) | {
    *("red", "green", "blue", "yellow", "orange", "white", "black", "brown", "cyan", "magenta"),
    *("beige", "crimson", "scarlet", "golden", "silver", "maroon", "indigo", "teal", "lime"),
}

# Words for how a floor looks beside the basic colours: they take a noun ("the olive room").
LOOKS = COLOURS | {
    *("amber", "apricot", "aqua", "aquamarine", "azure", "bronze", "burgundy", "charcoal"),
    *("checked", "checkered", "chequered", "chocolate", "copper", "coral", "cream", "dotted"),
    *("emerald", "fuchsia", "gold", "ivory", "jade", "khaki", "lavender", "lilac", "marbled"),
    *("mauve", "mint", "mustard", "navy", "ochre", "olive", "orchid", "patterned", "peach", "plum"),
    *("rose", "ruby", "rust", "salmon", "sand", "sapphire", "sienna", "slate", "spotted"),
    *("striped", "tan", "taupe", "terracotta", "tiled", "tomato", "umber", "wheat", "wooden"),
    *("almond", "auburn", "bisque", "blush", "carpeted", "cerise", "cerulean", "champagne"),
    *("chartreuse", "chiffon", "clear", "colourful", "colorful", "dark", "denim", "ebony", "ecru"),
    *("eggshell", "flowered", "glossy", "hazel", "honeydew", "lemon", "light", "linen", "matte"),
    *("moccasin", "ochre", "pale", "papaya", "periwinkle", "peru", "pistachio", "plain", "plaid"),
    *("platinum", "raspberry", "seashell", "sepia", "snow", "thistle", "tinted", "ultramarine"),
    *("vanilla", "vermilion", "vermillion", "walnut", "whip", "wine"),
}
SHADE = re.compile(
    "(light|dark|medium|pale|deep|hot|dim|sky|sea|forest|lawn|spring|steel|royal|dodger|cornflower"
    "|cadet|powder|midnight|rosy|saddle|sandy|indian|floral|ghost|antique|navajo|alice|burly|fire"
    f"|blanched|corn|old|misty|{'|'.join(sorted(LOOKS))})*"
    f"({'|'.join(sorted(LOOKS))}|brick|drab|gainsboro|lace|goldenrod|puff|silk|smoke|wood)|"
    "(redd|blu|green|yellow|gr[ae]y|brown|pink|purpl|whit|black|orang|violet)(e?ish|y)"
)
"""A look, also run together as in CSS ("lightblue", "darkolivegreen") or vague ("greenish")."""

SINGULAR_S = {"atlas", "canvas", "christmas", "gas", "lens"}

SIDE = "|".join(sorted((c.replace("-", "[- ]?") for c in COMPASS), key=len, reverse=True))
"""Regular expression of the eight compass words."""


def spoken(name: str) -> str:
    """How the name of an object or tile is said: `dining_table` → "dining table"."""
    words = re.sub(r"[_\s]+", " ", name).strip()
    return re.sub(r"^(the|a|an) ", "", words, flags=re.IGNORECASE)


def is_look(name: str) -> bool:
    """Whether a tile is named by how it looks: "olive", "light blue"; "hall" is not."""
    return SHADE.fullmatch(re.split(r"[\s-]", spoken(name).lower())[-1]) is not None


def is_plural(name: str) -> bool:
    """Whether a name takes "them": "stairs" does, "bus" and "chest of drawers" do not."""
    head = spoken(name).lower().split(" of ")[0].split(" ")[-1]
    return head.endswith("s") and not head.endswith(("ss", "us", "is")) and head not in SINGULAR_S


def plural(name: str) -> str:
    """The regular plural of a name."""
    if is_plural(name):
        return name
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    if name.endswith("lf"):
        return name[:-1] + "ves"
    return name + "s"


def alternatives(name: str) -> tuple[str, ...]:
    """Every word understood as `name` (an object's), itself first."""
    base = spoken(name)
    found = [base, *SYNONYMS.get(base.lower(), Synonyms()).all]
    # A scene may call a thing by what is a synonym here: its "couch" is a sofa too.
    for key, synonyms in SYNONYMS.items():
        if base.lower() in synonyms.train + synonyms.held_out:
            found += [key, *synonyms.all]
    return tuple(dict.fromkeys(found))


def writable(name: str, vocabulary: str) -> tuple[str, ...]:
    """Words the narrator may write for an object, the scene's own first.

    Args:
        name: the object's name in the scene.
        vocabulary: "train", or "held_out" for only words that are withheld from training (the
            scene's own word where there are none).
    """
    base = spoken(name)
    synonyms = SYNONYMS.get(base.lower(), Synonyms())
    if vocabulary == "held_out":
        return synonyms.held_out or (base,)
    return (base, *synonyms.train)
