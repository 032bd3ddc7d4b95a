"""What the reference implementation makes of any checkpoint: a golden file like those of make.py, for `cargo xtask oracle`.

    python oracle.py CHECKPOINT REFERENCE.py OUT.safetensors

Tokens and noise are drawn with a seed; everything is computed in double precision.
"""
import importlib.util, json, sys
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

OBJECTIVE = dict(smoothing=0.125, z_weight=0.0625, flow_weight=0.5)
BATCH, TIME = 2, 64


def stated(config):
    """The fields of a configuration, without what is off and the checkpoint format leaves out."""
    return {k: v for k, v in asdict(config).items() if v or k not in ("attention_norm", "episodic_width", "episodic_window")}


def main():
    checkpoint, path, out = map(Path, sys.argv[1:])
    spec = importlib.util.spec_from_file_location("reference", path)
    reference = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = reference
    spec.loader.exec_module(reference)
    config, weights = reference.load(str(checkpoint))
    if "flow.out.weight" not in weights:    # an export has no flow head
        config.flow_hidden = 0
    weights = {name: t.float().double().requires_grad_() for name, t in weights.items()}
    torch.set_default_dtype(torch.float64)

    g = torch.Generator().manual_seed(0)
    time = min(TIME, config.max_len if config.positions == "learned" else TIME)
    text = torch.randint(config.vocab_size, (BATCH, time + 1), generator=g)
    tokens, targets = text[:, :-1], text[:, 1:]
    noise = torch.randn(BATCH, time, config.embed_dim, generator=g).float().double()
    times = torch.rand(BATCH, time, generator=g).float().double()
    objective = dict(OBJECTIVE, flow_weight=OBJECTIVE["flow_weight"] if config.flow_hidden else 0.0)

    model = reference.Model(config, weights)
    with torch.no_grad():
        hidden = model.hidden(tokens)
        logits = model.logits(hidden)
    losses = model.losses(tokens, targets, **objective, noise=noise, time_=times)
    losses["total"].backward()
    tensors = {"weight." + name: t.detach().float() for name, t in weights.items()}
    tensors |= {"grad." + name: torch.zeros_like(t) if t.grad is None else t.grad for name, t in weights.items()}
    tensors |= {"tokens": tokens.int(), "targets": targets.int(), "hidden": hidden, "logits": logits}
    tensors |= {name: value[None] for name, value in losses.items()}
    if config.flow_hidden:
        tensors |= {"noise": noise.float(), "time": times.float()}
    case = json.dumps({"config": stated(config), "objective": objective})
    save_file({name: t.detach().contiguous() for name, t in tensors.items()}, out, {"case": case})


main()
