"""Reads what `hh-runtime embed` wrote as other programs do: read_back.py DIM, in the folder of the files that embed.rs makes.

All are of one input; row 2 (from 0) has no text: null in Parquet and JSON Lines, zeros in NumPy's files.
"""

import json
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

try:
    import polars as pl
except ModuleNotFoundError:
    pl = None

dim = int(sys.argv[1])
matrix = np.load("f32.npy", mmap_mode="r")
rows = len(matrix)
db = duckdb.connect()


def read(name, kind, dtype, width):
    """The embeddings of NAME.npy, which must be those of NAME.parquet and NAME.jsonl."""
    expected = np.load(f"{name}.npy", mmap_mode="r")
    assert expected.dtype == dtype and expected.shape == (rows, width), (name, expected.dtype, expected.shape)
    assert not expected[2].any()
    table = pq.read_table(f"{name}.parquet")
    field = table.schema.field("embedding").type
    assert pa.types.is_fixed_size_list(field) and field.list_size == width and field.value_type == kind, field
    assert table.column_names == ["id", "text", "tags", "embedding"] and table.num_rows == rows
    assert table["id"].to_pylist() == list(range(rows)) and table["tags"][1].as_py() == ["a", "b"]
    lines = [json.loads(line) for line in open(f"{name}.jsonl", encoding="utf-8")]
    assert len(lines) == rows and list(lines[1]) == ["id", "text", "tags", "embedding"]
    for found in (table["embedding"].to_pylist(), [line["embedding"] for line in lines]):
        assert [i for i, vector in enumerate(found) if vector is None] == [2]
        assert all(vector is None or np.array_equal(np.asarray(vector, dtype), expected[i]) for i, vector in enumerate(found)), name
    # duckdb has no half precision and says so.
    if kind != pa.float16():
        assert db.execute(
            f"select count(*), count(embedding), min(len(embedding)) from '{name}.parquet'"
        ).fetchone() == (rows, rows - 1, width)
        assert db.execute(f"select embedding from '{name}.parquet' where id = 5").fetchone()[0] == expected[5].tolist() or kind == pa.float32()
    if pl:
        frame = pl.read_parquet(f"{name}.parquet")
        wanted = {np.float32: pl.Float32, np.float16: pl.Float16, np.int8: pl.Int8, np.uint8: pl.UInt8}[dtype]
        assert frame.schema["embedding"] == pl.Array(wanted, width), frame.schema
        assert frame["embedding"].null_count() == 1 and frame["embedding"][5].to_list() == expected[5].tolist()
    return np.asarray(expected)


plain = read("f32", pa.float32(), np.float32, dim)
lengths = np.linalg.norm(np.delete(plain, 2, axis=0), axis=1)
assert np.allclose(lengths, 1, atol=1e-5), lengths
assert np.array_equal(read("f16", pa.float16(), np.float16, dim), plain.astype(np.float16))
assert np.abs(read("int8", pa.int8(), np.int8, dim) - plain * 127).max() <= 0.5001
bits = np.unpackbits(read("binary", pa.uint8(), np.uint8, -(-dim // 8)), axis=1)[:, :dim]
assert np.array_equal(bits, plain > 0)

nearest = db.execute(
    f"select id from 'f32.parquet' where embedding is not null "
    f"order by array_cosine_similarity(embedding::float[{dim}], ?::float[{dim}]) desc limit 1",
    [matrix[5].tolist()],
).fetchone()
assert nearest == (5,), nearest

texts = [json.loads(line)["text"] for line in open("rows.jsonl", encoding="utf-8")]
chunks = pq.read_table("chunks.parquet").to_pylist()
lines = [json.loads(line) for line in open("chunks.jsonl", encoding="utf-8")]
assert len(np.load("chunks.npy")) == len(chunks) == len(lines) > rows
for chunk, line in zip(chunks, lines):
    assert list(chunk) == list(line) == ["id", "text", "tags", "chunk_row", "chunk_item", "chunk_start", "chunk_end", "embedding"]
    assert {**chunk, "embedding": None} == {**line, "embedding": None}, (chunk, line)
    assert chunk["id"] == chunk["chunk_row"] and chunk["chunk_item"] == 0
    text = texts[chunk["id"]]
    assert chunk["text"] == (text and text.encode()[chunk["chunk_start"] : chunk["chunk_end"]].decode()), chunk
    assert (chunk["embedding"] is None) == (text is None)
    assert text is None or np.array_equal(np.float32(chunk["embedding"]), np.float32(line["embedding"]))
assert db.execute("select count(distinct chunk_row) from 'chunks.parquet'").fetchone() == (rows,)
assert db.execute("select text from read_json('chunks.jsonl') where id = 0").fetchone() == (texts[0],)
if pl:
    assert pl.read_parquet("chunks.parquet")["chunk_end"].dtype == pl.UInt64

print("read by pyarrow", pa.__version__, "duckdb", duckdb.__version__, "polars", pl.__version__ if pl else "not at all")
