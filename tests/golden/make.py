"""Golden vectors: what the reference implementation and PyTorch's AdamW give, for the Rust tests to be compared with.

    python make.py REFERENCE.py OUT_DIR

One safetensors file a case. Everything is computed in double precision from inputs that f32 holds exactly, so that a
backend in f64 must agree to rounding and one in f32 to its own.

    metadata    case: JSON of config and objective (smoothing, z_weight, flow_weight); one entry, since the
                format leaves the order of several to chance
    weight.*    f32                     grad.*      f64, of `total`
    tokens      [B, T] i32              targets     [B, T] i32
    noise       [B, T, E] f32           time        [B, T] f32, of the flow head if there is one
    hidden      [B, T, D] f64           logits      [B, T, V] f64
    log_probs   [B, T, V] f64, of models with an episodic memory
    nll, z, total, flow                 [1] f64
"""
import importlib.util, json, sys
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

# Two layers of all three paths; a case says what differs.
HYBRID = dict(vocab_size=13, width=12, layers=2, ffn=10, head_dim=4, ssm_width=8, hopfield_width=8, attention_width=8,
              hopfield_depths=[3, 2], hopfield_slots=2, mixer_hidden=5, norm_eps=2.0 ** -16)
ONE = dict(HYBRID, ssm_width=0, hopfield_width=0, attention_width=0)
CONTROL = dict(segments=2, controller_width=6)

CASES = {
    "hybrid": dict(HYBRID, **CONTROL, flow_hidden=7),
    "one-segment": dict(HYBRID, controller_width=6, flow_hidden=7),
    "three-segments": dict(HYBRID, segments=3, controller_width=6),
    "segments-without-controller": dict(HYBRID, segments=2, layers=1, hopfield_depths=[2]),
    "no-inject": dict(HYBRID, **CONTROL, controller_inject=False),
    "ssm": dict(ONE, ssm_width=12),
    "ssm-two-taps": dict(ONE, ssm_width=12, ssm_conv=2, layers=1),
    "hopfield": dict(ONE, hopfield_width=12),
    "hopfield-classic": dict(ONE, hopfield_width=12, hopfield_kind="classic", hopfield_slots=0),
    "attention": dict(ONE, attention_width=12),
    "ssm-hopfield": dict(HYBRID, attention_width=0, **CONTROL),
    "ssm-attention": dict(HYBRID, hopfield_width=0, **CONTROL),
    "hopfield-attention": dict(HYBRID, ssm_width=0, **CONTROL),
    "classic": dict(HYBRID, hopfield_kind="classic", hopfield_depths=[2, 3], hopfield_slots=0, **CONTROL),
    "classic-same": dict(HYBRID, hopfield_kind="classic", hopfield_association="same", hopfield_slots=0, layers=1, hopfield_depths=[3]),
    "same": dict(HYBRID, hopfield_association="same", hopfield_depths=[1, 3]),
    "no-slots": dict(HYBRID, hopfield_slots=0),
    "windows": dict(HYBRID, hopfield_window=4, attention_window=3, **CONTROL),
    "window-of-one": dict(ONE, hopfield_width=8, attention_width=8, hopfield_window=1, attention_window=1, hopfield_slots=0, layers=1,
                          hopfield_depths=[2]),
    "same-window": dict(ONE, hopfield_width=8, hopfield_association="same", hopfield_window=3, hopfield_slots=0, layers=1,
                        hopfield_depths=[2]),
    "factorised": dict(HYBRID, embed_dim=5, flow_hidden=7, vocab_size=17),
    "learned-positions": dict(HYBRID, positions="learned", max_len=14),
    "no-positions": dict(HYBRID, positions="none", layers=1, hopfield_depths=[2]),
    "episodic": dict(HYBRID, episodic_width=6, **CONTROL, flow_hidden=7),
    "episodic-window": dict(HYBRID, episodic_width=5, episodic_window=3, vocab_size=5, embed_dim=5),
    "mean": dict(HYBRID, mixer_kind="mean", **CONTROL),
    "sum": dict(HYBRID, mixer_kind="sum", layers=1, hopfield_depths=[2]),
    "per-layer": dict(HYBRID, layers=3, ssm_width=[8, 0, 4], hopfield_width=[0, 8, 4], attention_width=[4, 0, 8],
                      hopfield_depths=[0, 2, 3], **CONTROL),
}
OBJECTIVE = dict(smoothing=0.125, z_weight=0.0625, flow_weight=0.5)
BATCH, TIME = 2, 11


def stated(config):
    """The fields of a configuration, without what is off and the checkpoint format leaves out."""
    return {k: v for k, v in asdict(config).items() if v or k not in ("attention_norm", "episodic_width", "episodic_window")}


def exact(t):
    """Rounded to what f32 holds."""
    return t.float().double()


def disturbed(reference, config, g):
    """Initial weights with noise on all of them: nothing is silent because it starts at zero."""
    weights = reference.init(config, seed=1)
    for name, t in weights.items():
        noise = 0.3 * torch.randn(t.shape, generator=g)
        if name.endswith("ssm.log_decay"):      # decays from near 0 to near 1, so that their factor matters
            t = t + 2.5 + 3 * noise
        if name.endswith("hopfield.decay"):     # half-lives of the order of the sequence
            t = t - 3
        weights[name] = exact(t + noise)
    return weights


def case(reference, name, fields):
    g = torch.Generator().manual_seed(sum(map(ord, name)))
    config = reference.Config(**fields)
    weights = disturbed(reference, config, g)
    for t in weights.values():
        t.requires_grad_()
    objective = dict(OBJECTIVE, flow_weight=OBJECTIVE["flow_weight"] if config.flow_hidden else 0.0)
    text = torch.randint(config.vocab_size, (BATCH, TIME + 1), generator=g)
    tokens, targets = text[:, :-1], text[:, 1:]
    noise = exact(torch.randn(BATCH, TIME, config.embed_dim, generator=g))
    time = exact(torch.rand(BATCH, TIME, generator=g))

    model = reference.Model(config, weights)
    hidden = model.hidden(tokens)
    losses = model.losses(tokens, targets, **objective, noise=noise, time_=time)
    losses["total"].backward()

    out = {"weight." + k: t.detach().float() for k, t in weights.items()}
    out |= {"grad." + k: torch.zeros_like(t) if t.grad is None else t.grad for k, t in weights.items()}
    out |= {"tokens": tokens.int(), "targets": targets.int(), "hidden": hidden, "logits": model.logits(hidden)}
    out |= {k: v[None] for k, v in losses.items()}
    if config.flow_hidden:
        out |= {"noise": noise.float(), "time": time.float()}
    if config.episodic_width:
        out["log_probs"] = model.log_probs(hidden, tokens)
    return out, {"config": stated(config), "objective": objective}


def adamw(reference):
    """Three steps of PyTorch's AdamW with given gradients: the first is clipped, matrices decay, an average is kept.

    Constants are sums of few powers of two, so that f32 holds them.
    """
    g = torch.Generator().manual_seed(7)
    config = reference.Config(vocab_size=5, width=4, layers=1, ffn=3, head_dim=2, hopfield_width=4, hopfield_depths=[2], hopfield_slots=2)
    hyper = dict(lr=0.03125, beta1=0.875, beta2=0.96875, adam_eps=2.0 ** -20, weight_decay=0.25, clip=4.0, ema=0.75, steps=3)
    weights = disturbed(reference, config, g)
    decays = lambda name, t: t.dim() == 2 and name.endswith("weight")
    groups = [dict(params=[t for k, t in weights.items() if decays(k, t) == on], weight_decay=hyper["weight_decay"] if on else 0.0)
              for on in (True, False)]
    optimiser = torch.optim.AdamW(groups, lr=hyper["lr"], betas=(hyper["beta1"], hyper["beta2"]), eps=hyper["adam_eps"])
    out = {"weight." + k: t.float().clone() for k, t in weights.items()}
    average = {k: t.clone() for k, t in weights.items()}
    for step in range(hyper["steps"]):
        grads = {k: exact(torch.randn(t.shape, generator=g) * (1.0 if step == 0 else 0.1)) for k, t in weights.items()}
        norm = torch.sqrt(sum(t.pow(2).sum() for t in grads.values()))
        for k, t in weights.items():
            t.grad = grads[k] * min(1.0, hyper["clip"] / norm.item())
            out[f"grad.{step}.{k}"] = grads[k].float()
        out[f"norm.{step}"] = norm[None]
        optimiser.step()
        rate = min(hyper["ema"], (1 + step) / (10 + step))
        for k, t in weights.items():
            average[k] += (1 - rate) * (t - average[k])
    out |= {"after." + k: t for k, t in weights.items()} | {"average." + k: t for k, t in average.items()}
    return out, {"config": stated(config), "hyper": hyper}


def main():
    path, folder = map(Path, sys.argv[1:])
    torch.set_default_dtype(torch.float64)
    spec = importlib.util.spec_from_file_location("reference", path)
    reference = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = reference
    spec.loader.exec_module(reference)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: case(reference, name, fields) for name, fields in CASES.items()} | {"adamw": adamw(reference)}
    for name, (tensors, metadata) in files.items():
        save_file({k: v.detach().contiguous() for k, v in tensors.items()}, folder / f"{name}.safetensors", {"case": json.dumps(metadata)})
    print(len(files), "files,", sum(f.stat().st_size for f in folder.glob("*.safetensors")), "bytes")


main()
