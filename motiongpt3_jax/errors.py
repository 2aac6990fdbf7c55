"""The error of wrong input: one sentence that says what was wrong, where, and what to do."""


class UserError(ValueError):
    """Something that was given is wrong: a file, an argument, a value of a config.

    Its message is one sentence for who gave it. The commands print that sentence alone and end with status 2; any other
    exception is a fault of this program and shows its traceback.
    """


def cause(error: Exception) -> str:
    """What another error says, for the sentence of one that is raised in its place: its kind too, unless it is ours."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
