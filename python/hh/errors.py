"""Exceptions. Each says in one sentence what is wrong, where, and what to do, as the program does."""


class Error(Exception):
    """Base of all errors of this package. Raised itself where the machine fails, as when memory is short."""


class InputError(Error, ValueError):
    """A text, an option, a checkpoint or a saved state that cannot be used."""


class FileError(Error, OSError):
    """A file that cannot be read."""


class FileNotFound(FileError, FileNotFoundError):
    """A file that does not exist, or a folder without a checkpoint."""
