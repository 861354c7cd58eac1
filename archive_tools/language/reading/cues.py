"""English for driving: verbs, directions and other words that tell the role of a place.

Tables only. `simplify` turns words into few canonical ones by them, `roles` reads those.
"""

from archive_tools.language.words import COLOURS


def _words(text: str) -> list[str]:
    return text.split()


_IRREGULAR = {
    "": "",
    "go": "goes going went gone",
    "come": "comes coming came",
    "drive": "drives driving drove driven",
    "run": "runs running ran",
    "get": "gets getting got",
    "take": "takes taking took taken",
    "keep": "keeps keeping kept",
    "leave": "leaves leaving",
    "make": "makes making made",
    "swing": "swings swinging swung",
    "lie": "lies lying lay lain",
    "sit": "sits sitting sat",
    "stand": "stands standing stood",
    "begin": "begins beginning began begun",
    "hit": "hits hitting",
    "cut": "cuts cutting",
    "find": "finds finding found",
    "see": "sees seeing saw seen",
    "say": "says saying said",
    "do": "does doing did done",
    "have": "has having had",
    "be": "is are was were been being am",
    "let": "lets letting",
    "sleep": "sleeps sleeping slept",
    "wind": "winds winding wound",
    "sneak": "sneaks snuck",
    "ride": "rides riding rode ridden",
    "slide": "slides sliding slid",
    "fall": "falls falling fell",
    "forget": "forgets forgetting forgot forgotten",
    "set": "sets setting",
    "put": "puts putting",
    "bring": "brings bringing brought",
    "bend": "bends bending bent",
    "sweep": "sweeps sweeping swept",
    "pay": "pays paying paid",
    "give": "gives giving gave given",
    "meet": "meets meeting met",
    "think": "thinks thinking thought",
    "mean": "means meaning meant",
    "draw": "draws drawing drew drawn",
    "spend": "spends spending spent",
    "hold": "holds holding held",
    "feel": "feels feeling felt",
    "rise": "rises rising rose risen",
    "spin": "spins spinning spun",
    "catch": "catches caught",
    "creep": "creeps creeping crept",
    "stick": "sticks sticking stuck",
    "head": "heads heading headed",
    "forbid": "forbids forbidden",
    "weave": "weaves weaving wove",
    "throw": "throws threw thrown",
}
STOP_VERBS = _words("stop halt finish end conclude terminate park settle")
STAY_VERBS = _words(
    """
    stay remain wait rest sit stand lie sleep pause linger relax hang arrive land
    """
)
TOUCH_VERBS = _words(
    """
    cross touch traverse bump climb roll graze brush clip hit play contact scrape run
    """
)
SKIP_VERBS = _words("avoid skip omit ignore shun miss disregard bypass circumvent evade dodge")
_REGULAR = _words(
    """
    pass visit enter reach approach circle round skirt turn return follow move head travel
    continue proceed start check look peek poke dip pop nip hop step slip call drop swerve
    curve arc loop lap orbit retrace double reverse navigate steer trundle wander tour walk
    bear hug squeeze push pull trace inspect explore fetch need want prohibit ban like use
    allow include complete place permit require exclude lead carry ascend descend advance
    retreat withdraw back re-enter swap encircle glide drift veer wrap curl begin commence
    exit depart near border precede disturb bother dare attempt try work open close
    """
)
LEMMAS: dict[str, str] = {}


def _inflect(verb: str) -> list[str]:
    stem = verb[:-1] if verb.endswith("e") else verb
    forms = [verb + "s", verb + "es", stem + "ed", stem + "ing"]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        forms += [verb[:-1] + "ies", verb[:-1] + "ied"]
    if verb[-1] in "pbtgmnrl" and len(verb) < 6:
        forms += [verb + verb[-1] + "ed", verb + verb[-1] + "ing"]
    return forms


for _verb in (*STOP_VERBS, *STAY_VERBS, *TOUCH_VERBS, *SKIP_VERBS, *_REGULAR):
    LEMMAS.update(dict.fromkeys(_inflect(_verb), _verb))
for _verb, _forms in _IRREGULAR.items():
    LEMMAS.update(dict.fromkeys(_words(_forms), _verb))
for _word in ("being", "ending", "landing", "standing", "ended"):
    LEMMAS.pop(_word, None)
LEMMAS |= {"ending": "end", "ended": "end", "being": "be", "standing": "stand"}
VERBS = frozenset(LEMMAS.values()) - {"be", "near", "open", "work", "border", "like", "back"}
"""Base forms of all verbs that are known."""
LEMMAS |= {
    "thru": "through", "throught": "through", "u": "you", "ur": "your", "n": "and", "&": "and",
    "onto": "onto", "till": "until", "til": "until", "towards": "toward", "upto": "to",
    "around": "round", "underneath": "below", "beneath": "below", "under": "below",
    "atop": "on", "upon": "on", "unto": "to", "alongside": "along", "beside": "by",
    "nearby": "by", "across": "over", "afterwards": "then", "afterward": "then", "next": "next",
    "subsequently": "then", "finally": "then", "lastly": "then", "thereafter": "then",
    "w/": "with", "w/o": "without", "isnt": "be not", "arent": "be not", "cant": "can not",
    "wont": "will not", "shouldnt": "should not", "mustnt": "must not", "couldnt": "could not",
    "wouldnt": "would not", "cannot": "can not", "dont": "do not", "doesnt": "do not",
    "didnt": "do not",
    "destination": "goal", "target": "goal", "endpoint": "goal", "instead": "instead",
    "passageway": "door", "doorway": "door", "opening": "door", "entrance": "door",
    "exit": "door", "threshold": "door", "passage": "door", "gap": "door", "doorstep": "door",
    "boundary": "door", "border": "door", "entry": "door", "gate": "door", "archway": "door",
    "gateway": "door", "openings": "door", "doors": "door", "doorstop": "door",
    "mustn": "must not", "rooms": "rooms", "prior": "before", "beforehand": "earlier",
    "en": "on", "route": "way", "path": "way", "trip": "trip", "second": "second", "agian": "again",
    "anew": "again", "drove": "drive", "off": "off", "ok": "", "okay": "",
    "nearly": "almost",
}  # fmt: skip

FILLERS = frozenset(
    _words(
        """
        a actually also an barely big bit both briefly carefully clearly completely dead
        dear deep directly entire entirely even exactly firmly full fully gently good
        hard immediately ish just kind large little mainly merely mostly nice nicely own
        partly please pls precisely quickly quite really roughly safely shortly simply
        slightly slowly small some somewhat somewhere soon sort still straight
        sweetheart sweetie tad the tiny very whole
        """
    )
)
DIRECTIONS = {
    "north": "n", "northern": "n", "northward": "n", "northwards": "n", "top": "n", "upper": "n",
    "northerly": "n", "topmost": "n", "uppermost": "n",
    "south": "s", "southern": "s", "southward": "s", "southwards": "s", "bottom": "s", "lower": "s",
    "low": "s", "high": "n", "southerly": "s", "underside": "s", "btm": "s",
    "east": "e", "eastern": "e", "eastward": "e", "eastwards": "e", "right": "e", "easterly": "e",
    "west": "w", "western": "w", "westward": "w", "westwards": "w", "left": "w", "westerly": "w",
    "northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw",
    "northeastern": "ne", "northwestern": "nw", "southeastern": "se", "southwestern": "sw",
    "ne": "ne", "nw": "nw", "se": "se", "sw": "sw",
}  # fmt: skip
COMPASS_OF = {
    "n": "north", "ne": "north-east", "e": "east", "se": "south-east", "s": "south",
    "sw": "south-west", "w": "west", "nw": "north-west",
}  # fmt: skip
ROOM_NOUNS = frozenset(
    _words(
        """
        area floor one patch rm room section space square tile zone
        """
    )
)
ORDINARY = COLOURS | frozenset(
    _words(
        """
        closer closed canes slower flower flowers hallow bested
        able about above across actually after again against along already also although
        always and another any anyone anything around away back bad batch bathe bathing
        bead beads because bedded bedding beds before begin behind bell below belt bend
        beneath bent beside best bet between beyond bid bleu blues bookend booking
        bookish both bottom briefly bring bud but cabin cabins cable came can careful
        carefully carry center central centre chain chains chairs chance change charm
        chart chief choir clean clear clock close come complete conclude continue corner
        could course cross cub curve dance deck decline describe desk desks detail diner
        dinner direct dirt disk does doing done door down drive driver during dusk dust
        dusty each earlier early east easy edge eight either end enough enter even every
        everything exit fable face fact fad fade fall fang fans far fast fat feel fence
        few fiend fin final find fine finish first five flat floor follow forget forward
        four free fridges friend fright fringe from front full fun gap gentle give glass
        goal going good grand grant gravy great greedy greet ground group hail half
        halfway hallo halls halt hand hang hard haul hear heart here high hold home hour
        house how hub hull hurry inside instead into itself just keep keyed kind kitten
        know large last late later lead leave left less light like line linger little
        long look loop loungers lounging lower lunch lunge main make many may mean
        middle might mind more morning most mount move much must near nearly need never
        next nice night none nose not nothing now number off often once only open
        orangey order other our out outer outside over pace paint pair pants part pass
        past path patient pause pianist pianos pine ping place plain plan plane planes
        planet planted plants plate play please point practice present press proceed
        purport put quick quiet quite rather reach read ready reed rest return rid ride
        right road rod rode roll rose round route rub same scene second see seem set
        settle several shave short should show side silly since sit slide slight slow
        small sofas soft some soon space spare speak spend spot square stable stage
        stand standing stare start state statement station status statutes stay staying
        step still stole stone stones stop stops store storm story stove stoves stow
        straight strange strove studies studio study sturdy such sure sweep swing tables
        take tale talk taste tell than thank that the their them then there these they
        thing think this though three through time tiny today together toilet too top
        touch tour toward track travel trip try tub tube tubs tug turn twice two under
        until upper use usual very visit wait walk wall want watch way well were west
        what wheel when where which while whit whole why wide will with within without
        word work world would write writes wrong yard year yes yet you young your
        """
    )
)
"""Words that are no slips of names, though they are a letter away from some."""
