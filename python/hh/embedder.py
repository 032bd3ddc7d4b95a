"""Embeddings of texts."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ._hh import ArrowArray, EmbeddingModel, Job
from .errors import InputError

Kind = Literal["plain", "query", "document"]
Dtype = Literal["float32", "int8", "ubinary"]

# The batches of `hh-runtime embed`. The same texts in the same batches have the same bits.
BATCH = 512
# Names of prompts in sentence-transformers and mteb.
PROMPT_KINDS: dict[str, Kind] = {"query": "query", "document": "document", "passage": "document", "corpus": "document"}
# Models that were unpickled and are kept for the next time.
KEPT = 4


class Embedder:
    """Makes embeddings of texts.

    It may be used by several threads at once, and computes without Python's lock. It is pickled as its path and options: a process
    that unpickles it loads the model, once, and uses it again whenever it unpickles the same.

    Args:
        model: ``"english"``, the model that comes with the package, or a path: a checkpoint file, the folder of a run, or a folder in
            the Hugging Face layout.
        threads: CPU threads of a call; all cores if absent. Results do not depend on it. Engines that run several workers on a machine
            want 1.
        pooling: ``"mean"``, ``"last"`` or ``"weighted"`` in place of the model's own.
        truncate_dim: Keeps only the first dimensions of an embedding.
        max_tokens: Reads only so many tokens of a text; all if absent, whatever the length that the model was trained on.

    Raises:
        FileNotFound: There is no such file.
        InputError: A checkpoint or an option that cannot be used.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "english",
        *,
        threads: int | None = None,
        pooling: Literal["mean", "last", "weighted"] | None = None,
        truncate_dim: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._source = None if model == "english" else os.path.abspath(model)
        self._options = (threads, pooling, truncate_dim, max_tokens)
        self._model = EmbeddingModel(self._source, *self._options)

    @property
    def dim(self) -> int:
        """Dimensions of an embedding."""
        return self._model.dim

    @property
    def max_tokens(self) -> int | None:
        """The most tokens of a text that are read; None if there is no limit."""
        return self._options[3]

    @property
    def fingerprint(self) -> str:
        """A hash of weights and tokenizer, which tells models apart: 16 hexadecimal digits."""
        return self._model.fingerprint

    def embed(
        self,
        texts: Any,
        *,
        kind: Kind = "plain",
        dtype: Dtype = "float32",
        empty: Literal["refuse", "zero"] = "refuse",
        batch_size: int = BATCH,
    ) -> np.ndarray:
        """The embeddings of texts, in their order.

        Args:
            texts: A list or another iterable of str, a numpy array, an Arrow array or chunked array of any library, a Series of pandas
                or polars. None, and NaN and NA in numpy and pandas, is a missing text.
            kind: What the texts are for, which chooses the prompt of a model that was trained with prompts.
            dtype: ``"float32"``; ``"int8"``, round(127 x); or ``"ubinary"``, eight signs a byte, as in sentence-transformers.
            empty: What becomes of a text that is missing or blank: ``"refuse"`` raises an InputError that names it, ``"zero"`` makes its
                embedding all zeros.
            batch_size: Texts between two looks for Ctrl-C. Batches of other texts change an embedding by roundings, below 1e-5; the
                default are the batches of ``hh-runtime embed``.

        Returns:
            An array ``(n, dim)`` of vectors of length 1; ``(n, ⌈dim / 8⌉)`` of ubinary.

        Raises:
            InputError: A text that cannot be embedded, or an option that is not known.
            TypeError: Something that is no column of texts.
        """
        job = self._job(texts, kind, dtype=dtype, empty=empty, nullable=False, batch_size=batch_size)
        return _run(job).matrix()

    def embed_arrow(
        self,
        column: Any,
        *,
        kind: Kind = "plain",
        empty: Literal["null", "zero", "refuse"] = "null",
        batch_size: int = BATCH,
    ) -> Any:
        """The embeddings of a column as Arrow's ``FixedSizeList<float32>``, null where the text is missing or blank.

        Args:
            column: As in `embed`.
            kind: As in `embed`.
            empty: What becomes of a text that is missing or blank: ``"null"``, ``"zero"`` or ``"refuse"``.
            batch_size: As in `embed`.

        Returns:
            A polars Series for one of polars, a pyarrow array for one of pyarrow (a chunked one for a chunked one), and for anything
            else an `ArrowArray`, which ``pyarrow.array`` and others take without a copy.

        Raises:
            InputError, TypeError: As `embed`.
        """
        job = self._job(column, kind, dtype="float32", empty=empty, nullable=True, batch_size=batch_size)
        return _like(_run(job).column(), column)

    def encode(
        self,
        sentences: Any,
        batch_size: int = BATCH,
        show_progress_bar: bool | None = None,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        prompt_type: Any = None,
        precision: Dtype = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = True,
        **ignored: Any,
    ) -> Any:
        """`embed` with the signature of sentence-transformers and of mteb, for programs that call it.

        A single str gives one vector. A text that is blank or missing gives zeros. ``prompt`` stands before each text; ``prompt_name``, or mteb's
        ``prompt_type``, is ``"query"``, ``"document"`` or ``"passage"``, and chooses the model's own prompt. ``sentences`` may be
        mteb's loader of batches, each with a list of texts as ``"text"``. ``convert_to_tensor`` needs torch;
        ``convert_to_numpy=False`` gives a list of vectors. Embeddings have length 1 unless ``normalize_embeddings`` is false.
        Arguments about devices and the like have no meaning here and are ignored.
        """
        alone = isinstance(sentences, str)
        texts = [sentences] if alone else _of_loader(sentences) if hasattr(sentences, "dataset") else sentences
        kind: Kind = "plain"
        # An enumeration in mteb.
        prompt_name = prompt_name or getattr(prompt_type, "value", prompt_type)
        if prompt is not None:
            texts = [prompt + text if isinstance(text, str) else text for text in texts]
        elif prompt_name is not None:
            if prompt_name not in PROMPT_KINDS:
                raise InputError(f"prompt_name is {prompt_name!r}: give {' or '.join(map(repr, PROMPT_KINDS))}, or a prompt")
            kind = PROMPT_KINDS[prompt_name]
        job = self._job(
            texts, kind, dtype=precision, empty="zero", nullable=False, batch_size=batch_size, normalize=normalize_embeddings
        )
        vectors = _run(job, _progress(len(job)) if show_progress_bar else None).matrix()
        if convert_to_tensor:
            import torch

            vectors = torch.from_numpy(vectors)
        elif not convert_to_numpy:
            vectors = list(vectors)
        return vectors[0] if alone else vectors

    def similarity(self, a: Any, b: Any) -> np.ndarray:
        """Cosines of embeddings ``(n, dim)`` and ``(m, dim)`` as an array ``(n, m)``; 0 where one is zero."""
        return _unit(a) @ _unit(b).T

    def similarity_pairwise(self, a: Any, b: Any) -> np.ndarray:
        """Cosines of each embedding of ``a`` with that of the same row of ``b``, an array ``(n,)``."""
        return np.sum(_unit(a) * _unit(b), axis=1)

    @property
    def mteb_model_meta(self) -> Any:
        """What mteb, which must be installed, records of a model: name, revision and sizes. With it `mteb.evaluate` takes this object."""
        from mteb.models import ModelMeta

        name = os.path.basename(self._source or "english")
        known = {"name": f"hh/{name}", "revision": self.fingerprint, "embed_dim": self.dim, "max_tokens": self.max_tokens}
        return ModelMeta.create_empty({**known, "similarity_fn_name": "cosine", "framework": []})

    def get_sentence_embedding_dimension(self) -> int:
        """`dim`, by sentence-transformers' name."""
        return self.dim

    def _job(self, texts: Any, kind: Kind, *, normalize: bool = True, **options: Any) -> Job:
        return self._model.job(texts, kind=kind, normalize=normalize, **options)

    def __reduce__(self) -> tuple[Callable[..., Embedder], tuple[Any, ...]]:
        return _unpickled, (self._source, self._options, self.fingerprint)

    def __repr__(self) -> str:
        threads, pooling, truncate_dim, max_tokens = self._options
        options = {"threads": threads, "pooling": pooling, "truncate_dim": truncate_dim, "max_tokens": max_tokens}
        given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
        return f"hh.Embedder({self._source or 'english'!r}{given})"


_loading = threading.Lock()


def _unpickled(source: str | None, options: tuple[Any, ...], fingerprint: str) -> Embedder:
    # The lock: two threads of a worker that unpickle at once load once.
    with _loading:
        return _kept(source, options, fingerprint)


@lru_cache(maxsize=KEPT)
def _kept(source: str | None, options: tuple[Any, ...], fingerprint: str) -> Embedder:
    threads, pooling, truncate_dim, max_tokens = options
    embedder = Embedder(
        source or "english", threads=threads, pooling=pooling, truncate_dim=truncate_dim, max_tokens=max_tokens
    )
    if embedder.fingerprint != fingerprint:
        place = source or f"the English model of the version of hh that is installed for {sys.executable}"
        raise InputError(f"{place} is not the model that was pickled: its weights or its tokenizer differ; use the same on all machines")
    return embedder


def _run(job: Job, progress: Callable[[int], None] | None = None) -> Job:
    """Embeds all of a job. Ctrl-C raises between two batches."""
    while (done := job.step()) is not None:
        if progress:
            progress(done)
    return job


def _progress(rows: int) -> Callable[[int], None]:
    def show(done: int) -> None:
        end = "\n" if done == rows else ""
        print(f"\r{done} of {rows} texts embedded", end=end, file=sys.stderr, flush=True)

    return show


def _like(array: ArrowArray, column: Any) -> Any:
    """The array in the library of the column that it was made of."""
    package = type(column).__module__.partition(".")[0]
    if package == "polars":
        import polars

        return polars.Series(array).alias(column.name)
    if package == "pyarrow":
        import pyarrow

        made = pyarrow.array(array)
        return pyarrow.chunked_array([made]) if isinstance(column, pyarrow.ChunkedArray) else made
    return array


def _of_loader(batches: Any) -> list[str]:
    """The texts of mteb's batches."""
    return [text for batch in batches for text in batch["text"]]


def _unit(vectors: Any) -> np.ndarray:
    vectors = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
