"""Text embeddings and text generation with small hybrid language models.

>>> import hh
>>> embedder = hh.Embedder("english")
>>> embedder.embed(["A cat sits on the mat.", "Shares fell on Monday."]).shape
(2, 384)

``hh.TextModel`` continues texts. ``python -m hh`` is the program hh-runtime.
"""

from ._hh import ArrowArray, Generation, Session, TextModel, __version__
from .embedder import Embedder
from .errors import Error, FileError, FileNotFound, InputError

__all__ = [
    "ArrowArray",
    "Embedder",
    "Error",
    "FileError",
    "FileNotFound",
    "Generation",
    "InputError",
    "Session",
    "TextModel",
    "__version__",
]
