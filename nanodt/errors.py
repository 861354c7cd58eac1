"""The one error nanodt raises for a user's mistake."""


class InputError(ValueError):
    """A user's mistake, in one line: what was found, what was expected, how to mend it."""
