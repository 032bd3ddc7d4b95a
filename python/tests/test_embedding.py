"""Embeddings: the program's numbers, from every kind of column."""

from enum import Enum

import numpy as np
import pytest

import hh
from conftest import ENGLISH, run, sentence_of, sentences

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")


def program(folder, texts, *flags):
    """The embeddings that the program makes of texts."""
    (folder / "texts.jsonl").write_text("".join(pd.Series({"text": text}).to_json() + "\n" for text in texts))
    done = run("embed", "--input", folder / "texts.jsonl", "--output", folder / "v.npy", "--force", *flags)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "v.npy")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory, texts):
    return program(tmp_path_factory.mktemp("wanted"), texts)


def test_embeddings_have_the_bits_of_the_program(embedder, texts, wanted):
    made = embedder.embed(texts)
    assert made.dtype == np.float32 and made.shape == (len(texts), embedder.dim)
    assert made.flags.writeable and np.array_equal(made, wanted)
    for threads in (1, 3):
        assert np.array_equal(hh.Embedder("english", threads=threads).embed(texts), wanted)


def test_long_texts_are_batched_as_in_the_program(embedder, tmp_path):
    # More than 1 MiB, so that a batch ends by its bytes, before its 512 rows; of many lengths, which batches sort.
    texts = [text * (1 + i % 30) for i, text in enumerate(sentences(500, seed=3))]
    assert sum(len(text.encode()) for text in texts) > 1 << 20
    assert np.array_equal(embedder.embed(texts), program(tmp_path, texts))


COLUMNS = {
    "tuple": tuple,
    "generator": iter,
    "numpy str": np.array,
    "numpy object": lambda texts: np.array(texts, dtype=object),
    "numpy StringDType": lambda texts: np.array(texts, dtype=np.dtypes.StringDType()),
    "numpy with steps": lambda texts: np.repeat(np.array(texts), 3)[::3],
    "numpy backwards": lambda texts: np.array(texts[::-1])[::-1],
    "numpy column": lambda texts: np.array([texts, texts]).T[:, 1],
    "pyarrow": pa.array,
    "pyarrow large": lambda texts: pa.array(texts, pa.large_string()),
    "pyarrow view": lambda texts: pa.array(texts, pa.string_view()),
    "pyarrow dictionary": lambda texts: pa.array(texts).dictionary_encode(),
    "pyarrow slice": lambda texts: pa.array(["before", *texts, "after"])[1:-1],
    "pyarrow chunks": lambda texts: pa.chunked_array([texts[:5], [], texts[5:900], texts[900:]]),
    "pandas": pd.Series,
    "pandas object": lambda texts: pd.Series(texts, dtype=object),
    "pandas arrow": lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
    "pandas category": lambda texts: pd.Series(texts, dtype="category"),
    "pandas index": lambda texts: pd.Series(texts, index=range(len(texts), 0, -1)),
    "polars": pl.Series,
    "polars categorical": lambda texts: pl.Series(texts, dtype=pl.Categorical),
    "polars chunks": lambda texts: pl.concat([pl.Series(texts[:7]), pl.Series(texts[7:])], rechunk=False),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_every_kind_of_column_has_the_same_embeddings(embedder, texts, wanted, column):
    assert np.array_equal(embedder.embed(COLUMNS[column](texts)), wanted)


def test_a_column_of_duckdb_has_the_same_embeddings(embedder, texts, wanted):
    duckdb = pytest.importorskip("duckdb")
    rows = pa.table({"text": texts})  # noqa: F841 (DuckDB finds it by its name)
    column = duckdb.sql("select text from rows").to_arrow_table()["text"]
    assert np.array_equal(embedder.embed(column), wanted)


def arrow(column):
    """One array of pyarrow, whatever the library."""
    if isinstance(column, pl.Series):
        column = column.to_arrow()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else pa.array(column)


MISSING = {
    "list": lambda texts: texts,
    "numpy NaN": lambda texts: np.array([np.nan if text is None else text for text in texts], dtype=object),
    "pyarrow": pa.array,
    "pyarrow chunks": lambda texts: pa.chunked_array([texts[:3], texts[3:]]),
    "pandas": pd.Series,
    "pandas NA": lambda texts: pd.Series(texts, dtype="string"),
    "polars": pl.Series,
}


@pytest.mark.parametrize("column", MISSING)
def test_a_missing_text_is_null_zero_or_refused(embedder, column):
    texts = ["one", None, "two", "", " \u200b", "three"]
    column = MISSING[column](texts)
    present = [True, False, True, False, False, True]
    rows = arrow(embedder.embed_arrow(column))
    assert pa.types.is_fixed_size_list(rows.type) and rows.type.list_size == 384 and rows.type.value_type == pa.float32()
    assert rows.is_valid().to_pylist() == present
    zeros = embedder.embed(column, empty="zero")
    assert zeros.any(axis=1).tolist() == present
    assert np.array_equal(np.stack(rows.drop_null().to_pylist()).astype(np.float32), zeros[present])
    assert arrow(embedder.embed_arrow(column, empty="zero")).null_count == 0
    for refuse in (embedder.embed, lambda column: embedder.embed_arrow(column, empty="refuse")):
        with pytest.raises(ValueError, match=r"text 1 \(counted from 0\) is missing"):
            refuse(column)


def test_nulls_are_those_of_the_program(embedder, texts, tmp_path):
    import pyarrow.parquet as pq

    some = [None if i % 7 == 3 else "" if i % 11 == 5 else text for i, text in enumerate(texts)]
    pq.write_table(pa.table({"text": some}), tmp_path / "in.parquet")
    done = run("embed", "--input", tmp_path / "in.parquet", "--output", tmp_path / "out.parquet")
    assert done.returncode == 0, done.stderr
    wanted = pq.read_table(tmp_path / "out.parquet")["embedding"].combine_chunks()
    made = embedder.embed_arrow(pa.array(some))
    assert made.is_valid().equals(wanted.is_valid()) and 0 < made.null_count < len(some)
    assert made.drop_null().flatten().equals(wanted.drop_null().flatten())


def test_an_arrow_column_comes_back_in_the_library_of_the_input(embedder):
    texts = ["one", None, "two"]
    assert isinstance(embedder.embed_arrow(pa.array(texts)), pa.FixedSizeListArray)
    assert isinstance(embedder.embed_arrow(pa.chunked_array([texts])), pa.ChunkedArray)
    series = embedder.embed_arrow(pl.Series("body", texts))
    assert isinstance(series, pl.Series) and series.name == "body" and series.dtype == pl.Array(pl.Float32, 384)
    plain = embedder.embed_arrow(texts)
    assert isinstance(plain, hh.ArrowArray) and len(plain) == 3
    assert "3 rows" in repr(plain) and pa.array(plain).null_count == 1 and len(pl.Series(plain)) == 3
    assert pa.array(plain).equals(pa.array(plain)), "an array can be taken more than once"


@pytest.mark.parametrize("none", [[], (), np.array([], dtype=str), pa.array([], pa.string()), pa.array([], pa.null()), pl.Series([], dtype=pl.String)])
def test_no_texts_have_no_embeddings(embedder, none):
    assert embedder.embed(none).shape == (0, 384)
    assert len(embedder.embed_arrow(none)) == 0
    assert embedder.encode(none).shape == (0, 384)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ("one text", "the texts are one str: give a list"),
        (b"one text", "the texts are one bytes: give a list"),
        ({"a", "b"}, "the texts are a set, which has no order"),
        ({"a": "b"}, "the texts are a dict: give a list"),
        (7, "the texts are a int: give a list"),
        (None, "the texts are a NoneType: give a list"),
        (["a", 7], r"text 1 \(counted from 0\) is a int: give a str"),
        (["a", ["b"]], r"text 1 \(counted from 0\) is a list: give a str"),
        (np.array([b"a"]), r"text 0 \(counted from 0\) is a bytes: give a str"),
        (np.array([["a", "b"]]), "the texts are a ndarray of more than one dimension"),
        (np.array("a"), "the texts are a ndarray of more than one dimension"),
        (np.array([1.5]), r"text 0 \(counted from 0\) is a float: give a str"),
        (pd.DataFrame({"a": ["b"]}), "the texts are a DataFrame of more than one dimension"),
        (pd.Series([1, 2]), r"text 0 \(counted from 0\) is a int: give a str"),
        (pa.array([1, 2]), "the texts are an Arrow array of Int64: give one column of strings"),
        (pa.array([["a"]]), "the texts are an Arrow array of List"),
        (pa.table({"a": ["b"]}), "the texts are an Arrow array of Struct"),
        (pl.Series([1, 2]), "the texts are an Arrow array of Int64: give one column of strings"),
        (pl.DataFrame({"a": ["b"]}), "the texts are an Arrow array of Struct"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(embedder, texts, sentence):
    with pytest.raises(TypeError, match=sentence):
        embedder.embed(texts)


def test_a_text_that_cannot_be_embedded_is_named(embedder, texts):
    with pytest.raises(hh.InputError, match=r"text 700 \(counted from 0\) is empty and has no embedding"):
        embedder.embed([*texts[:700], " ", *texts])
    with pytest.raises(hh.InputError, match=r"text 1 \(counted from 0\) has half a surrogate pair"):
        embedder.embed(["a", "b\ud800"])


def test_numbers_can_be_short(embedder, texts, wanted, tmp_path):
    assert np.array_equal(embedder.embed(texts, dtype="int8"), program(tmp_path, texts, "--output-dtype", "int8"))
    assert np.array_equal(embedder.embed(texts, dtype="ubinary"), program(tmp_path, texts, "--output-dtype", "binary"))
    short = hh.Embedder("english", truncate_dim=64, max_tokens=5)
    assert (short.dim, short.max_tokens) == (64, 5)
    assert np.array_equal(short.embed(texts), program(tmp_path, texts, "--dim", 64, "--max-tokens", 5))
    last = hh.Embedder("english", pooling="last")
    assert np.array_equal(last.embed(texts), program(tmp_path, texts, "--pooling", "last"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda e: e.embed(["a"], kind="passage"), 'kind is "passage": give "plain" or "query" or "document"'),
        (lambda e: e.embed(["a"], dtype="float64"), 'dtype is "float64": give "float32" or "int8" or "ubinary"'),
        (lambda e: e.embed(["a"], empty="null"), 'empty is "null": give "refuse" or "zero"'),
        (lambda e: e.embed(["a"], batch_size=0), "batch_size is 0: give 1 or more"),
        (lambda e: e.encode(["a"], prompt_name="title"), "prompt_name is 'title': give 'query' or"),
        (lambda e: hh.Embedder(threads=0), "threads is 0: give 1 or more"),
        (lambda e: hh.Embedder(max_tokens=0), "max_tokens is 0: give 1 or more"),
        (lambda e: hh.Embedder(truncate_dim=385), "truncate_dim is 385; this model's vectors have 384: give 1 to 384"),
        (lambda e: hh.Embedder(pooling="max"), 'pooling is "max": give "mean" or "last" or "weighted"'),
    ],
)
def test_an_unknown_option_is_refused(embedder, make, sentence):
    with pytest.raises(hh.InputError) as refused:
        make(embedder)
    assert sentence in str(refused.value)


def test_errors_have_the_sentences_of_the_program(tmp_path):
    (tmp_path / "damaged.safetensors").write_bytes(ENGLISH.read_bytes()[:100_000])
    (tmp_path / "folder").mkdir()
    for name, kinds in {
        "absent.safetensors": (hh.FileNotFound, FileNotFoundError),
        "damaged.safetensors": (hh.InputError, ValueError),
    }.items():
        said = sentence_of("sample", tmp_path / name)
        for model in (hh.Embedder, hh.TextModel):
            with pytest.raises(hh.Error) as error:
                model(tmp_path / name)
            assert all(isinstance(error.value, kind) for kind in kinds)
            assert str(error.value) == said
    with pytest.raises(hh.FileNotFound, match="is a folder without a checkpoint"):
        hh.Embedder(tmp_path / "folder")


def test_a_path_is_the_model_of_that_file(embedder, texts, wanted):
    model = hh.Embedder(ENGLISH)
    assert repr(model) == f"hh.Embedder({str(ENGLISH)!r})" and repr(embedder) == "hh.Embedder('english')"
    assert model.fingerprint == embedder.fingerprint and len(model.fingerprint) == 16
    assert np.array_equal(model.embed(texts), wanted)


def test_encode_is_called_as_in_sentence_transformers(embedder, texts, wanted, capsys):
    assert np.array_equal(embedder.encode(texts, show_progress_bar=True, device="cpu"), wanted)
    assert f"{len(texts)} of {len(texts)} texts embedded" in capsys.readouterr().err
    some, first = texts[:10], embedder.embed(texts[:10])
    one = embedder.encode(some[3])
    assert one.shape == (384,) and np.allclose(one, first[3], atol=1e-5)
    assert [row.shape for row in embedder.encode(some, convert_to_numpy=False)] == [(384,)] * 10
    assert not embedder.encode(["a", ""])[1].any()
    assert np.array_equal(embedder.encode(some, prompt="ask: "), embedder.embed(["ask: " + text for text in some]))
    assert embedder.encode(["a", None], prompt="ask: ").any(axis=1).tolist() == [True, False]
    assert np.array_equal(embedder.encode(some, prompt_name="query"), embedder.embed(some, kind="query"))
    raw = embedder.encode(some, normalize_embeddings=False)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert abs(lengths - 1).max() > 0.01 and np.allclose(raw / lengths, first, atol=1e-5)
    assert embedder.encode(some, precision="ubinary").dtype == np.uint8
    assert embedder.get_sentence_embedding_dimension() == 384


def test_similarity_is_the_cosine(embedder):
    a, b = embedder.embed(["A cat sits.", "Shares fell."]), embedder.embed(["A cat is sitting.", "Stocks dropped.", "Noodles."])
    cosines = embedder.similarity(a, b)
    assert cosines.shape == (2, 3) and cosines.argmax(axis=1).tolist() == [0, 1]
    assert np.allclose(cosines, a @ b.T, atol=1e-6)
    assert np.allclose(embedder.similarity_pairwise(a, b[:2]), cosines[[0, 1], [0, 1]])
    assert embedder.similarity(np.zeros((1, 384)), a).tolist() == [[0, 0]]


def test_encode_takes_the_batches_of_mteb(embedder, texts):
    class PromptType(Enum):
        query = "query"

    class Loader:
        dataset = texts[:10]

        def __iter__(self):
            return iter([{"text": self.dataset[:7], "title": [""] * 7}, {"text": self.dataset[7:]}])

    found = embedder.encode(Loader(), task_metadata=None, hf_split="test", hf_subset="default", prompt_type=PromptType.query, batch_size=32)
    assert np.array_equal(found, embedder.embed(texts[:10], kind="query", batch_size=32))
