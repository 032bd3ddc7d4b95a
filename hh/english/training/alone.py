"""Sentence embeddings without a teacher: a language model of WikiText-2 becomes an embedding model.

    python alone.py pairs DATA OUT          writes OUT/pairs.tsv: each sentence of WikiText-2's training part with the next one
    python alone.py start DATA LM START     writes START: the language model checkpoint LM as an embedding model to train from

The last hidden states of a language model predict the next token; their mean is a poor embedding of the text. START therefore uses
the token embedding: each row gets the length a / (a + frequency of its token) (Arora, Liang and Ma 2017), without the common
direction of the texts. The norm before pooling would remove these lengths, so the common direction is filled up until all rows
have the same length. `pooled.weight` removes that direction again and whitens the others (Su et al. 2021). The outputs of the
blocks are scaled down; training scales them up.

DATA holds `wikitext-2/wiki.train.reconstructed.tokens` and `stsbenchmark/sts-{train,dev,test}.csv`. Frequencies and variances also
count the sentences of STS-B's training part, without their scores; sentences that equal one of dev or test, in letters and digits,
are removed everywhere. Needs numpy, tokenizers and safetensors.
"""

import json
import pathlib
import re
import sys

from english import sts, wiki

TEXT = "wikitext-2/wiki.train.reconstructed.tokens"
LONGEST = 220
A, BLOCKS, SMALLEST = 1e-3, 0.005, 1e-4


def key(text):
    """The key by which sentences are compared: lower-case letters and digits."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def held_out(data):
    """Keys of the dev and test sentences, which must not be trained on."""
    return {key(text) for part in ["dev", "test"] for text in sts(data / f"stsbenchmark/sts-{part}.csv")}


def captions(data):
    """The sentences of STS-B's training part (mostly captions), without duplicates."""
    held = held_out(data)
    return sorted({text for text in sts(data / "stsbenchmark/sts-train.csv") if key(text) not in held})


def pairs(data, out):
    """Writes pairs of neighbouring sentences, both shorter than LONGEST characters."""
    held = held_out(data)
    fits = lambda text: len(text) < LONGEST and key(text) not in held
    sentences = list(wiki(data / TEXT))
    rows = [pair for pair in zip(sentences, sentences[1:]) if all(map(fits, pair))]
    out.mkdir(parents=True, exist_ok=True)
    (out / "pairs.tsv").write_text("text\tpartner\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    print(f"{len(rows):,} pairs in {out / 'pairs.tsv'}")


def start(data, lm, path):
    """Writes the language model as an embedding model."""
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer

    with safe_open(lm, "np") as file:
        notes, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    tokenizer = Tokenizer.from_str(json.dumps(json.loads(notes["tokenizer"])["tokenizer"]))
    table = tensors["embed.weight"]
    size, width = table.shape
    ids = lambda texts: [e.ids for e in tokenizer.encode_batch(texts) if e.ids]
    wikipedia, others = ids(list(wiki(data / TEXT))), ids(captions(data))
    counts = np.bincount(np.concatenate(wikipedia + others), minlength=size)
    frequency = counts / counts.sum()
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
    rows = unit(table)
    common = np.linalg.svd(rows * np.sqrt(frequency + 1e-9)[:, None], full_matrices=False)[2][:1]
    length = (A / (A + frequency))[:, None]
    rows = length * unit(rows - rows @ common.T @ common)
    tensors["embed.weight"] = (np.sqrt(width) * (rows + np.sqrt(1 - length**2) * common)).astype(np.float32)
    texts = unit(np.stack([rows[text].mean(0) for text in others + wikipedia[:: len(wikipedia) // len(others)]]))
    variances, directions = np.linalg.eigh(texts.T @ texts / len(texts))
    stretch = np.where(variances > SMALLEST, variances.clip(SMALLEST) ** -0.5, 0)
    tensors["pooled.weight"] = (directions * stretch @ directions.T / tensors["norm_out.weight"]).astype(np.float32)
    for name in tensors:
        if name.endswith(("out_proj.weight", "ffn.out.weight")):
            tensors[name] *= np.float32(BLOCKS)
    notes["config"] = json.dumps(json.loads(notes["config"]) | {"pooled_dim": width})
    save_file(tensors, path, metadata=notes)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["pairs", data, out]:
            pairs(pathlib.Path(data), pathlib.Path(out))
        case ["start", data, lm, path]:
            start(pathlib.Path(data), lm, path)
        case _:
            sys.exit(__doc__)
