"""The native module."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

__version__: str

def program(args: Sequence[str]) -> int:
    """Runs the program ``hh-runtime`` with these arguments, the first of them its name, and returns its exit code."""

@final
class EmbeddingModel:
    def __new__(
        cls,
        path: str | None,
        threads: int | None,
        pooling: str | None,
        truncate_dim: int | None,
        max_tokens: int | None,
    ) -> EmbeddingModel: ...
    @property
    def dim(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def job(
        self, texts: Any, *, kind: str, normalize: bool, batch_size: int, dtype: str, empty: str, nullable: bool
    ) -> Job: ...

@final
class Job:
    def __len__(self) -> int: ...
    def step(self) -> int | None: ...
    def matrix(self) -> np.ndarray: ...
    def column(self) -> ArrowArray: ...

@final
class ArrowArray:
    """A column of embeddings: ``FixedSizeList<float32>``. ``pyarrow.array``, ``polars.Series`` and all else that knows Arrow's
    capsules take it without a copy."""

    def __len__(self) -> int: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_schema__(self) -> object: ...

@final
class TextModel:
    """A language model on the CPU.

    ``path`` is a checkpoint file, the folder of a run, or a folder in the Hugging Face layout. One thread is fastest below some 8 MB of
    weights. Results do not depend on the threads. A model is pickled as its path: it is loaded again where it is unpickled.
    """

    def __new__(cls, path: str | os.PathLike[str], threads: int = 1) -> TextModel: ...
    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 256,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        repetition_window: int = 64,
        seed: int = 0,
        stop: str | Sequence[str] | None = None,
        ignore_end_of_text: bool = False,
    ) -> Generation:
        """Continues a prompt: an iterator over pieces of text. `Session.generate` has the arguments."""
    def session(self, *, context: int | None = None, segments: int | None = None) -> Session:
        """A session without any text.

        ``context`` is the number of positions that its memories hold, ``segments`` the number of passes over the blocks; the model's own
        where absent.
        """
    def tokenize(self, text: str) -> list[int]:
        """Ids of the tokens of a text."""
    @property
    def context(self) -> int:
        """Length of the sequences that the model was trained on, in tokens."""
    @property
    def vocab_size(self) -> int:
        """Ids that the tokenizer has."""
    @property
    def config(self) -> str:
        """The configuration as JSON."""

@final
class Session:
    """A text that a model reads and continues, from `TextModel.session`. Its recurrent state can be saved, restored and forked."""

    def prefill(self, text: str) -> None:
        """Appends text and runs it. After Ctrl-C the session has read a part of it."""
    def generate(
        self,
        *,
        max_tokens: int = 256,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        repetition_window: int = 64,
        seed: int = 0,
        stop: str | Sequence[str] | None = None,
        ignore_end_of_text: bool = False,
    ) -> Generation:
        """Continues the text: an iterator over pieces of text. Abandoning it leaves the session where it stands.

        At most ``max_tokens`` tokens are drawn. ``temperature`` 0 is greedy; ``top_k`` 0, ``top_p`` 1, ``min_p`` 0 and
        ``repetition_penalty`` 1 are off. The same ``seed`` draws the same text. ``stop`` is a text or several that end the generation and
        are not part of it; the end-of-text token does so, too, unless ``ignore_end_of_text`` is set.
        """
    def state(self) -> bytes:
        """Everything that the session remembers."""
    def restore(self, state: bytes) -> None:
        """Returns to a state, of this session or of another one of the same model and layout."""
    def fork(self) -> Session:
        """An independent copy, which continues from the same text."""
    def reset(self) -> None:
        """Forgets everything."""
    def logits(self) -> np.ndarray:
        """Logits of the next token as float32, one for each id; of none before the first token."""
    @property
    def position(self) -> int:
        """Tokens read and drawn since the beginning."""

@final
class Generation(Iterator[str]):
    """An iterator over pieces of a text that is being generated."""

    def __iter__(self) -> Generation: ...
    def __next__(self) -> str: ...
