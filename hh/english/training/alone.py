"""Vectors of sentences without a teacher: a language model of WikiText-2, turned into an embedder.

    python alone.py pairs DATA OUT          writes OUT/pairs.tsv: each sentence of WikiText-2's training part beside the next
    python alone.py start DATA LM START     writes START: the language model LM, a checkpoint, as an embedder to train from

A language model's last hidden states say what comes next, and their mean over a text says little of it. So START reads the text
off the table of tokens: each row has the length a / (a + share of its token) (Arora, Liang and Ma 2017), without the direction
that most of the text shares, which takes what is missing to a common length instead: the norm before pooling would take that
away. `pooled.weight` drops this direction again, and stretches all others until the vectors of sentences vary alike along each
(whitening: Su et al. 2021). What the blocks add is turned down, for training to turn up.

DATA holds `wikitext-2/wiki.train.reconstructed.tokens` and `stsbenchmark/sts-{train,dev,test}.csv`: the sentences of the training
part, without their scores, are among those that shares and variances are counted over; what equals a sentence of dev or test, in
letters and digits, is left out everywhere. Needs numpy, tokenizers and safetensors.
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
    """What two sentences that are the same have in common: letters and digits."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def held_out(data):
    """The sentences that nothing may learn from."""
    return {key(text) for part in ["dev", "test"] for text in sts(data / f"stsbenchmark/sts-{part}.csv")}


def captions(data):
    """The sentences of STS-B's training part, captions most of them, each once."""
    held = held_out(data)
    return sorted({text for text in sts(data / "stsbenchmark/sts-train.csv") if key(text) not in held})


def pairs(data, out):
    """Neighbouring sentences, neither of them long."""
    held = held_out(data)
    fits = lambda text: len(text) < LONGEST and key(text) not in held
    sentences = list(wiki(data / TEXT))
    rows = [pair for pair in zip(sentences, sentences[1:]) if all(map(fits, pair))]
    out.mkdir(parents=True, exist_ok=True)
    (out / "pairs.tsv").write_text("text\tpartner\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    print(f"{len(rows):,} pairs in {out / 'pairs.tsv'}")


def start(data, lm, path):
    """The language model as an embedder."""
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
    share = counts / counts.sum()
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
    rows = unit(table)
    common = np.linalg.svd(rows * np.sqrt(share + 1e-9)[:, None], full_matrices=False)[2][:1]
    length = (A / (A + share))[:, None]
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
