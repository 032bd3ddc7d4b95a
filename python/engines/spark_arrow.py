"""Spark: mapInArrow. Its Arrow reader knows no lists of fixed size, hence the cast."""

import hh
import pyarrow as pa
from pyspark.sql import SparkSession


def embed(embedder: hh.Embedder, source: str, target: str) -> None:
    def batches(parts):
        for part in parts:
            vectors = embedder.embed_arrow(part["text"]).cast(pa.list_(pa.float32()))
            yield pa.RecordBatch.from_arrays([*part.columns, vectors], [*part.schema.names, "embedding"])

    rows = SparkSession.active().read.parquet(source)
    rows.mapInArrow(batches, "id bigint, text string, embedding array<float>").write.parquet(target)
