"""The one kind of error that is the user's to mend."""


class InputError(ValueError):
    """A mistake in what the user gave: a file, a field, an option.

    The message is one line and says which file, which field, what was found, what was expected
    and how to fix it. The command line prints it without a traceback and exits with status 2.
    """
