"""What a text forbids: sentences, and what is added to one; {x} is what is forbidden."""

BANS: dict[str, dict[str, tuple[str, ...]]] = {
    "imperative": {
        "touch": (
            "do not touch {x}.",
            "don't drive over {x}.",
            "please don't touch {x}.",
            ", without touching {x}",
            ", without driving over {x}",
            ", but not over {x}",
            "you must not cross {x}.",
        ),
        "object": (
            "stay away from {x}.",
            "avoid {x}.",
            "don't go near {x}.",
            "leave {x} alone.",
            ", without visiting {x}",
        ),
        "tile": (
            "don't go through {x}.",
            "do not enter {x}.",
            ", not through {x}",
            ", without entering {x}",
            "stay out of {x}.",
            "avoid {x}.",
            ", but never through {x}",
        ),
    },
    "condition": {
        "touch": (
            "{x} must not be touched.",
            "never drive over {x}.",
            "no contact with {x}.",
            "{x} may not be crossed.",
            "do not drive onto {x}.",
            ", without touching {x}",
            "not over {x}.",
        ),
        "object": (
            "{x} is off limits.",
            "keep away from {x}.",
            "avoid {x}.",
            "forbidden: {x}.",
            "{x} must not be visited.",
        ),
        "tile": (
            "{x} is forbidden.",
            "{x} must not be entered.",
            "do not enter {x}.",
            "going through {x} is not allowed.",
            ", without entering {x}",
            "{x} is off limits.",
            "avoid {x}.",
        ),
    },
    "without": {
        "touch": (", without touching {x}", ", without driving over {x}", ", not over {x}"),
        "object": (", without visiting {x}", ", avoiding {x}"),
        "tile": (", without entering {x}", ", not through {x}", ", avoiding {x}"),
    },
    "withheld": {
        "touch": ("never graze {x}.", "kindly never scrape {x}."),
        "object": ("shun {x}.", "{x} is taboo.", "kindly disregard {x}."),
        "tile": ("shun {x}.", "{x} is out of bounds.", "{x} is taboo."),
    },
}
"""By manner and by what is forbidden: to drive over it (touch), to meet an object or a tile."""
