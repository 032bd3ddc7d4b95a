"""Spark: mapInPandas."""

import hh
from pyspark.sql import SparkSession


def embed(embedder: hh.Embedder, source: str, target: str) -> None:
    def frames(parts):
        for part in parts:
            vectors = embedder.embed(part["text"], empty="zero")
            yield part.assign(embedding=[v if v.any() else None for v in vectors])

    rows = SparkSession.active().read.parquet(source)
    rows.mapInPandas(frames, "id bigint, text string, embedding array<float>").write.parquet(target)
