"""Reads what `hh-runtime embed` wrote as other programs do: read_back.py OUT.parquet OUT.jsonl OUT.npy DIM

The three outputs are of one input; row 2 (from 0) has no text: null in the first two, zeros in the last.
"""

import json
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

parquet, jsonl, npy, dim = *sys.argv[1:4], int(sys.argv[4])

matrix = np.load(npy, mmap_mode="r")
assert matrix.dtype == np.float32 and matrix.shape[1] == dim, (matrix.dtype, matrix.shape)
rows = len(matrix)
assert not matrix[2].any()
lengths = np.linalg.norm(np.delete(matrix, 2, axis=0), axis=1)
assert np.allclose(lengths, 1, atol=1e-5), lengths

table = pq.read_table(parquet)
kind = table.schema.field("embedding").type
assert pa.types.is_fixed_size_list(kind) and kind.list_size == dim and kind.value_type == pa.float32(), kind
assert table.column_names == ["id", "text", "tags", "embedding"] and table.num_rows == rows
vectors = table["embedding"].to_pylist()
assert [i for i, v in enumerate(vectors) if v is None] == [2]
assert all(v is None or np.array_equal(np.float32(v), matrix[i]) for i, v in enumerate(vectors))
assert table["id"].to_pylist() == list(range(rows)) and table["tags"][1].as_py() == ["a", "b"]

lines = [json.loads(line) for line in open(jsonl, encoding="utf-8")]
assert len(lines) == rows and list(lines[1]) == ["id", "text", "tags", "embedding"]
for i, line in enumerate(lines):
    found = line["embedding"]
    assert found is None if i == 2 else np.array_equal(np.float32(found), matrix[i]), i

db = duckdb.connect()
nearest = db.execute(
    f"select id from '{parquet}' where embedding is not null "
    f"order by array_cosine_similarity(embedding::float[{dim}], ?::float[{dim}]) desc limit 1",
    [matrix[5].tolist()],
).fetchone()
assert nearest == (5,), nearest
assert db.execute(f"select count(*), count(embedding), min(len(embedding)) from '{parquet}'").fetchone() == (rows, rows - 1, dim)
assert db.execute(f"select text from read_json('{jsonl}') where id = 0").fetchone() == (lines[0]["text"],)

try:
    import polars as pl
except ModuleNotFoundError:
    print("read by pyarrow", pa.__version__, "and duckdb", duckdb.__version__)
else:
    frame = pl.read_parquet(parquet)
    assert frame.schema["embedding"] == pl.Array(pl.Float32, dim), frame.schema
    assert frame["embedding"].null_count() == 1 and frame["embedding"][5].to_list() == vectors[5]
    print("read by pyarrow", pa.__version__, "duckdb", duckdb.__version__, "and polars", pl.__version__)
