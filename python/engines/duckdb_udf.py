"""DuckDB: a function of Arrow columns, which SQL calls. pyarrow does not read null arrays that DuckDB 2.0 writes, but lists."""

import duckdb
import hh


def embed(embedder: hh.Embedder, source: str, target: str) -> None:
    with duckdb.connect() as connection:
        function, vector = lambda text: embedder.embed_arrow(text), f"float[{embedder.dim}]"
        connection.create_function("embed", function, ["varchar"], vector, type="arrow", null_handling="special")
        connection.execute(f"copy (select *, embed(text)::float[] as embedding from '{source}') to '{target}' (format parquet)")
