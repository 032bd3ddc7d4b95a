"""Compares a folder that the program exports for the Hugging Face libraries with the program itself.

    python python/hugging_face/check.py PROGRAM [STS.csv]

Logits of every golden configuration with the reference's; ids of every kind of tokenizer, embeddings, losses and greedy texts with the
program's; and what transformers and sentence-transformers save again, read by the program. With a file of the STS Benchmark's test
part, also the correlation through sentence-transformers and mteb's task. No network.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

os.environ["HF_HUB_OFFLINE"] = "1"
HOME = tempfile.mkdtemp()
os.environ["HF_HOME"] = HOME  # where transformers copies the code of a model to

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "runtime-cli/src/hugging_face"
TEXTS = [
    "A cat sits on the mat.",
    "Shares fell on Monday; the <pad> and <unk> <eos> of it, </s><|endoftext|>!",
    "x",
    "The old café in Zürich  doesn't open\tbefore nine, so we waited\r\n\u00a0outside\u200b in the cold rain. " * 5,
    "ΣΊΣΥΦΟΣ, İstanbul, ﬁne ½ 漢字 한국 e\u0301 🜂🜁",
    "  numbers 3.14159 and 1,000,000; it's I'LL we'd  ",
]


def say(what: str) -> None:
    print(f"{time.process_time():6.1f} s CPU  {what}", flush=True)


class Program:
    def __init__(self, path: str) -> None:
        self.path, self.folder = path, Path(tempfile.mkdtemp())

    def __call__(self, *args: object) -> str:
        done = subprocess.run([self.path, *map(str, args)], capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return done.stdout

    def embed(self, model: object, texts: list[str]) -> np.ndarray:
        rows, out = self.folder / "rows.jsonl", self.folder / "rows.npy"
        rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        self("embed", model, "--input", rows, "--text-column", "text", "--output", out, "--force", "--empty", "zero")
        return np.load(out)

    def ids(self, tokenizer: object, text: str) -> list[int]:
        file = self.folder / "text.txt"
        file.write_bytes(text.encode())
        shown = self("tokenize", "--tokenizer", tokenizer, "--data", file, "--show", 100_000)
        return [int(n) for n in re.findall(r'":(\d+)(?= "|\n)', shown)]


def differ(name: str, most: float, limit: float) -> None:
    say(f"{name}: largest difference {most:.1e}")
    assert most <= limit, f"{name}: more than {limit}"


def modeling():
    """The module of the exported folders, from its source."""
    spec = importlib.util.spec_from_file_location("hub_model", SOURCES / "modeling_hh.py", submodule_search_locations=[str(SOURCES)])
    module = importlib.util.module_from_spec(spec)
    module.__package__ = "hub_model"
    sys.modules["hub_model"] = module
    spec.loader.exec_module(module)
    return module


@torch.no_grad()
def goldens() -> None:
    """Every option of the configuration, against values of the reference in double precision; and the same rows among padding."""
    module, worst, padded, count = modeling(), 0.0, 0.0, 0
    for file in sorted((ROOT / "tests/golden").glob("*.safetensors")):
        header = file.read_bytes()
        length = int.from_bytes(header[:8], "little")
        case = json.loads(json.loads(header[8 : 8 + length]).get("__metadata__", {}).get("case", "{}"))
        values = load_file(file)
        if "config" not in case or "logits" not in values:
            continue
        case["config"].pop("flow_hidden", None)
        model = module.HHForCausalLM(module.HHConfig(**case["config"])).eval()
        weights = {k[7:]: v for k, v in values.items() if k.startswith("weight.") and not k.startswith("weight.flow.")}
        model.load_state_dict(weights)
        tokens = values["tokens"].long()
        wanted = values.get("log_probs", values["logits"])
        found = model(tokens).logits
        hidden = module.HHModel.forward(model, tokens).last_hidden_state
        worst = max(worst, (found - wanted).abs().max().item(), (hidden - values["hidden"]).abs().max().item())
        # Padding at the left, at the right and in between, of a token outside of the vocabulary.
        batch, time_ = tokens.shape
        for places in ([3, 0, 0], [0, 0, 3], [1, 1, 1]):
            where = [0] * places[0] + [1] * 4 + [0] * places[1] + [1] * (time_ - 4) + [0] * places[2]
            mask = torch.tensor([where, [1] * len(where)])[:batch]
            rows = torch.full(mask.shape, model.config.vocab_size)
            rows[0, mask[0] == 1] = tokens[0]
            rows[1:] = tokens[1:].repeat(1, 2)[:, : len(where)]
            if model.config.positions == "learned" and len(where) > model.config.max_len:
                continue
            got = model(rows, attention_mask=mask).logits[0, mask[0] == 1]
            padded = max(padded, (got - found[0]).abs().max().item())
        count += 1
    assert count > 20, count
    differ(f"{count} golden configurations, logits and hidden states", worst, 2e-5)
    differ("the same rows among padding", padded, 2e-5)


def tokenizers(run: Program) -> None:
    """Each kind of tokenizer, in a model that was trained for a step."""
    corpus = run.folder / "corpus.txt"
    corpus.write_text(("\n".join(TEXTS) + "\n") * 40)
    small = "--set layers=1 --set width=16 --set ffn=16 --set head_dim=8 --set ssm_width=8 --set hopfield_width=0 --set attention_width=0".split()
    for kind in ("bytes", "chars", "words", "bpe-train:300", "bpe-train:300:lower"):
        name = kind.replace(":", "-")
        run("train", "--data", corpus, "--tokenizer", kind, *small, "--steps", 1, "--batch", 1, "--context", 8, "--eval-tokens", 8, "--out", name)
        run("export", name, "--hf", f"{name}-hf")
        tokenizer = AutoTokenizer.from_pretrained(run.folder / f"{name}-hf", trust_remote_code=True)
        for text in [*TEXTS, "".join(TEXTS), "\n\n a\n", "cat"]:
            own, theirs = run.ids(run.folder / name, text), tokenizer(text)["input_ids"]
            assert own == theirs, f"{kind}: {text!r}\n{own}\n{theirs}"
        if kind == "chars":
            try:
                tokenizer("ж")
            except Exception:  # as hh: a character that the vocabulary does not have
                continue
            raise AssertionError("an unknown character has an id")
    say("five kinds of tokenizer: the same ids")


def embeddings(run: Program) -> Path:
    folder = run.folder / "english"
    run("export", ROOT / "hh/english/english.safetensors", "--hf", folder, "--license", "apache-2.0", "--language", "en")
    model = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    texts = [*TEXTS, "", " \u200b", *(" ".join(TEXTS[i % 6].split()[i % 5 :]) + f" number {i}" for i in range(120))]
    own, theirs = run.embed(folder, texts), model.encode(texts, batch_size=32)
    differ("embeddings of the English model, among others", np.abs(own - theirs).max(), 1e-5)
    differ("each text alone", max(np.abs(own[i] - model.encode(texts[i])).max() for i in range(24)), 1e-5)
    ids = [model.tokenizer(text)["input_ids"] for text in texts]
    assert all(run.ids(folder, text) == found for text, found in zip(texts[:6], ids))
    blocks = run.embed(ROOT / "hh/english/english.safetensors", texts)
    say(f"the program's own, in blocks of 8 bits: largest difference {np.abs(blocks - theirs).max():.1e}")
    # The plain model, its pooling by hand.
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    plain = AutoModel.from_pretrained(folder, trust_remote_code=True)
    batch = tokenizer(texts[:4], padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = plain(**batch).last_hidden_state
    mean = (hidden * batch["attention_mask"][..., None]).sum(1) / batch["attention_mask"].sum(1, keepdim=True)
    vectors = torch.nn.functional.normalize(model[2].linear(mean)).detach().numpy()
    differ("the same with AutoModel", np.abs(own[:4] - vectors).max(), 1e-5)
    # Saved by sentence-transformers: the program reads it, with changed weights of the projection as well.
    with torch.no_grad():
        model[2].linear.weight.mul_(torch.linspace(0.5, 1.5, 384)[:, None])
    model.save_pretrained(str(run.folder / "again"))
    differ("what sentence-transformers saved, read by the program", np.abs(run.embed(run.folder / "again", texts) - model.encode(texts)).max(), 1e-5)
    return folder


def language_model(run: Program) -> None:
    paths = "--set layers=2 --set width=32 --set ffn=48 --set head_dim=8 --set ssm_width=16 --set hopfield_width=16 --set attention_width=16"
    more = "--set hopfield_depths=[2,1] --set hopfield_slots=4 --set segments=2 --set controller_width=8 --set episodic_width=8"
    run("train", *paths.split(), *more.split(), "--steps", 200, "--context", 64, "--eval-tokens", 500, "--out", "lm")
    run("train", *paths.split(), *more.split(), "--steps", 1, "--lr", 1e-12, "--context", 64, "--eval-tokens", 500, "--out", "fresh")
    run("export", "fresh", "--hf", "fresh-hf")
    fresh = AutoModelForCausalLM.from_pretrained(run.folder / "fresh-hf", trust_remote_code=True)
    random = AutoModelForCausalLM.from_config(fresh.config, trust_remote_code=True).state_dict()
    for name, own in fresh.state_dict().items():
        spread = own.std().item() if own.numel() > 1 else 0.0
        if spread < 1e-6:
            assert torch.allclose(random[name], own, atol=1e-6), f"{name} begins with {random[name]}, in hh with {own}"
        elif own.numel() > 200:
            assert abs(random[name].std().item() / spread - 1) < 0.25, f"{name} begins with a deviation of {random[name].std()}, in hh of {spread}"
    say("a model from random weights begins as hh's")
    for dtype in ("f32", "bf16"):
        folder = run.folder / f"lm-{dtype}"
        run("export", "lm", "--hf", folder, "--dtype", dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
        model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
        text = run("sample", "lm", "--prompt", "Anna ", "--seed", 3)[:64]
        file = run.folder / "scored.txt"
        file.write_text(text)
        nll = json.loads(run("eval", folder, "--data", file, "--split", "all", "--context", 63, "--json"))
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            loss = model(ids, labels=ids).loss.item()
        differ(f"nll of {ids.shape[1]} tokens in {dtype}", abs(loss - segments(nll, model.config.segments)), 1e-3)
    greedy = run("sample", folder, "--prompt", "Anna ", "--temperature", 0, "--tokens", 50).rstrip("\n")
    made = model.generate(**tokenizer("Anna ", return_tensors="pt"), max_new_tokens=50, do_sample=False)
    found = tokenizer.decode(made[0])
    assert found == "Anna " + greedy, f"{found!r}, {greedy!r}"
    batch = tokenizer(["Anna ", "The old man said"], padding=True, return_tensors="pt")
    rows = model.generate(**batch, max_new_tokens=20, do_sample=False)
    assert tokenizer.decode(rows[0], skip_special_tokens=True) == tokenizer.decode(made[0, : 5 + 20]), "padding changes a text"
    assert model.generate(**batch, max_new_tokens=8, do_sample=True, top_k=5, num_beams=2).shape[0] == 2
    say("50 greedy tokens: the program's; a padded batch likewise; beams and sampling run")
    # Trained a step and saved by transformers; its file has no metadata of hh.
    model.train()
    model(ids, labels=ids).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.01 * p.grad
    model.eval()
    again = run.folder / "lm-again"
    model.save_pretrained(again)
    tokenizer.save_pretrained(again)
    with torch.no_grad():
        loss = model(ids, labels=ids).loss.item()
    own = json.loads(run("eval", again, "--data", file, "--split", "all", "--context", 63, "--json"))
    differ("nll of what transformers trained and saved", abs(loss - segments(own, 2)), 1e-3)


def segments(report: object, n: int) -> float:
    """The nll of the program with as many passes over the blocks as the model has."""
    rows = report if isinstance(report, list) else next(value for value in report.values() if isinstance(value, list))
    return next(row["nll"] for row in rows if row["segments"] == n)


def sts(file: str, folder: Path) -> None:
    """Spearman's correlation on the test part of the STS Benchmark, by hand and by mteb."""
    from scipy.stats import spearmanr

    with open(file, encoding="utf-8", newline="") as lines:
        rows = [row[4:7] for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]
    scores, left, right = [float(row[0]) for row in rows], [row[1] for row in rows], [row[2] for row in rows]
    model = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    cosines = (model.encode(left) * model.encode(right)).sum(1)
    say(f"STS Benchmark, test, {len(rows)} pairs, by sentence-transformers: {spearmanr(cosines, scores)[0]:.4f}")

    import mteb
    from datasets import Dataset, DatasetDict

    task = mteb.get_task("STSBenchmark")
    data = DatasetDict(test=Dataset.from_dict({"sentence1": left, "sentence2": right, "score": scores}))
    task.load_data = lambda *_, **__: setattr(task, "data_loaded", True) or setattr(task, "dataset", data)
    task.load_data()
    found = mteb.evaluate(model, task, cache=None)
    say(f"the same by mteb {mteb.__version__}: {found.task_results[0].scores['test'][0]['cosine_spearman']:.4f}")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub(run: Program, folder: Path) -> None:
    """The cache of huggingface_hub and that of the program are one; both ask a server on loopback that answers as the Hub does."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if self.path.startswith("/api/models/owner/name"):
                model = {"id": "owner/name", "modelId": "owner/name", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
                return self.give(json.dumps(model).encode(), "none")
            if self.path.startswith("/lfs/"):
                return self.give(files[self.path[5:]], "storage-" + hashlib.sha1(files[self.path[5:]]).hexdigest())
            name = unquote(self.path.removeprefix(f"/owner/name/resolve/{COMMIT}/").removeprefix("/owner/name/resolve/main/"))
            if name not in files:
                return self.send_error(404)
            etag = hashlib.sha256(files[name]).hexdigest()
            if not name.endswith(".safetensors"):
                return self.give(files[name], etag[:40])
            self.send_response(302)
            for header, value in {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": len(files[name]), "X-Repo-Commit": COMMIT}.items():
                self.send_header(header, str(value))
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/lfs/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def give(self, body: bytes, etag: str) -> None:
            self.send_response(200)
            for header, value in {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Content-Length": len(body)}.items():
                self.send_header(header, str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    theirs = "from huggingface_hub import *; import sys; "
    find = theirs + "print(snapshot_download('owner/name', local_files_only=True))"
    fill = theirs + "[hf_hub_download('owner/name', name) for name in sys.argv[1:]]"

    def ask(home: str, *command: object, offline: bool = False) -> str:
        env = os.environ | {"HF_HOME": home, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": str(int(offline))}
        done = subprocess.run([*map(str, command)], env=env, capture_output=True, text=True, cwd=run.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    ours, own = tempfile.mkdtemp(), f"models--owner--name/snapshots/{COMMIT}"
    assert own in ask(ours, run.path, "info", "hf://owner/name")
    assert ask(ours, sys.executable, "-c", find, offline=True).strip() == f"{ours}/hub/{own}"
    filled = tempfile.mkdtemp()
    ask(filled, sys.executable, "-c", fill, *files)
    assert f"{filled}/hub/{own}" in ask(filled, run.path, "info", "hf://owner/name@main", offline=True)
    server.shutdown()
    say("hf://owner/name: the program and huggingface_hub find what the other downloaded")


def main(program: str, file: str | None = None) -> None:
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    run = Program(program)
    goldens()
    tokenizers(run)
    folder = embeddings(run)
    language_model(run)
    hub(run, folder)
    if file:
        sts(file, folder)
    say("all alike")


if __name__ == "__main__":
    main(*sys.argv[1:])
