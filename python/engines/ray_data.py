"""Ray Data: workers unpickle the embedder, each loads the model once."""

import hh
import ray


def embed(embedder: hh.Embedder, source: str, target: str) -> None:
    def batch(table):
        return table.append_column("embedding", embedder.embed_arrow(table["text"]))

    rows = ray.data.read_parquet(source)
    rows.map_batches(batch, batch_format="pyarrow", batch_size=512).write_parquet(target)
