"""Daft: a function of batches."""

import daft
import hh
from daft import DataType


def embed(embedder: hh.Embedder, source: str, target: str) -> None:
    @daft.func.batch(return_dtype=DataType.fixed_size_list(DataType.float32(), embedder.dim), batch_size=512)
    def vectors(text: daft.Series):
        return embedder.embed_arrow(text.to_arrow())

    daft.read_parquet(source).with_column("embedding", vectors(daft.col("text"))).write_parquet(target)
