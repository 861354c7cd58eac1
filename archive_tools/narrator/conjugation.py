"""Forms of English verbs, as far as the narrator needs them."""

from functools import lru_cache

FORMS = ("base", "past", "participle", "ing", "s")

IRREGULAR: dict[str, tuple[str, str, str]] = {  # base: past, participle, -ing
    "be": ("was", "been", "being"),
    "begin": ("began", "begun", "beginning"),
    "bend": ("bent", "bent", "bending"),
    "bump": ("bumped", "bumped", "bumping"),
    "come": ("came", "come", "coming"),
    "cut": ("cut", "cut", "cutting"),
    "dip": ("dipped", "dipped", "dipping"),
    "do": ("did", "done", "doing"),
    "drive": ("drove", "driven", "driving"),
    "drop": ("dropped", "dropped", "dropping"),
    "get": ("got", "got", "getting"),
    "give": ("gave", "given", "giving"),
    "go": ("went", "gone", "going"),
    "have": ("had", "had", "having"),
    "hold": ("held", "held", "holding"),
    "hop": ("hopped", "hopped", "hopping"),
    "keep": ("kept", "kept", "keeping"),
    "leave": ("left", "left", "leaving"),
    "let": ("let", "let", "letting"),
    "lie": ("lay", "lain", "lying"),
    "make": ("made", "made", "making"),
    "motor": ("motored", "motored", "motoring"),
    "plod": ("plodded", "plodded", "plodding"),
    "pop": ("popped", "popped", "popping"),
    "run": ("ran", "run", "running"),
    "say": ("said", "said", "saying"),
    "see": ("saw", "seen", "seeing"),
    "set": ("set", "set", "setting"),
    "sit": ("sat", "sat", "sitting"),
    "skim": ("skimmed", "skimmed", "skimming"),
    "slide": ("slid", "slid", "sliding"),
    "slip": ("slipped", "slipped", "slipping"),
    "spin": ("spun", "spun", "spinning"),
    "stand": ("stood", "stood", "standing"),
    "step": ("stepped", "stepped", "stepping"),
    "stop": ("stopped", "stopped", "stopping"),
    "sweep": ("swept", "swept", "sweeping"),
    "swing": ("swung", "swung", "swinging"),
    "take": ("took", "taken", "taking"),
    "travel": ("travelled", "travelled", "travelling"),
    "visit": ("visited", "visited", "visiting"),
    "wind": ("wound", "wound", "winding"),
}


@lru_cache(maxsize=4096)
def conjugate(phrase: str, form: str) -> str:
    """A verb phrase in another form.

    Args:
        phrase: its first word is a verb in base form.
        form: one of FORMS; "s" is the third person of the present.
    """
    verb, _, rest = phrase.partition(" ")
    if form == "base":
        return phrase
    comma = "," if verb.endswith(",") else ""
    verb = verb.removesuffix(",")
    if form == "s":
        verb = _third_person(verb)
    elif verb in IRREGULAR:
        verb = IRREGULAR[verb][("past", "participle", "ing").index(form)]
    elif form == "ing":
        verb = (verb[:-1] if verb.endswith("e") else verb) + "ing"
    elif verb.endswith("y") and verb[-2] not in "aeou":
        verb = verb[:-1] + "ied"
    else:
        verb = verb + ("d" if verb.endswith("e") else "ed")
    verb += comma
    return f"{verb} {rest}" if rest else verb


def _third_person(verb: str) -> str:
    if verb in ("be", "have"):
        return {"be": "is", "have": "has"}[verb]
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeou":
        return verb[:-1] + "ies"
    return verb + "s"
