"""LanceDB: a table with its vectors, from batches of any size."""

import hh
import lancedb
import pyarrow.parquet as pq


def embed(embedder: hh.Embedder, source: str, target: str) -> None:
    def batches():
        for batch in pq.ParquetFile(source).iter_batches(512):
            yield batch.append_column("embedding", embedder.embed_arrow(batch["text"]))

    table = lancedb.connect(f"{target}.lance").create_table("texts", batches(), on_bad_vectors="null")
    pq.write_table(table.to_arrow(), target)
