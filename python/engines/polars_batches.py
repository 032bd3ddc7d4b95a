"""Polars: map_batches."""

import hh
import polars as pl


def embed(embedder: hh.Embedder, source: str, target: str) -> None:
    vector = pl.Array(pl.Float32, embedder.dim)
    embedding = pl.col("text").map_batches(embedder.embed_arrow, return_dtype=vector).alias("embedding")
    pl.scan_parquet(source).with_columns(embedding).collect().write_parquet(target)
