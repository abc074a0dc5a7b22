"""The one error that a user is meant to read."""


class InputError(ValueError):
    """Bad input: the message names the file, row or key, the value found, and the way out."""
