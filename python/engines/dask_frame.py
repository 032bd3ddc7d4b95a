"""Dask: a function of partitions."""

import dask.dataframe as dd
import hh
import pandas as pd
import pyarrow as pa


def embed(embedder: hh.Embedder, source: str, target: str) -> None:
    vector = pd.ArrowDtype(pa.list_(pa.float32(), embedder.dim))

    def part(frame):
        vectors = pa.array(embedder.embed_arrow(frame["text"])).cast(vector.pyarrow_dtype)
        return frame.assign(embedding=pd.Series(vectors, frame.index, vector))

    rows = dd.read_parquet(source, split_row_groups=True)
    rows.map_partitions(part, meta=part(rows._meta)).to_parquet(target, write_index=False)
