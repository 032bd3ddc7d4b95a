"""PyTorch's side of the comparison: answers each line of stdin with seconds (or `-`), a tab, and a remark.

    attend B T HEADS D          scaled_dot_product_attention, causal, bf16: the fastest backend that takes it
    attend_grad B T HEADS D     its gradient
    recall B T HEADS D K        K such calls, each over the last one's output, keys = values
    scan B T W                  the gated recurrence, by torch.compile over associative_scan, or over doubling
    norm ROWS W                 rms_norm, torch.compile
    embed B T W V, conv B T W TAPS, mix B T W, swiglu B T W, dropout B T W   eager or torch.compile
    adamw LEAVES ROWS W         torch.optim.AdamW, fused
    cross_entropy ROWS W V      linear + cross_entropy with gradients, torch.compile: whole, or in chunks of rows
    step CONFIG B T eager|compile        a training step of the reference implementation; peak memory in the remark
    curve CHECKPOINT IDS RATES B T OUT   losses of that implementation, as many steps as there are rates

CONFIG and CHECKPOINT are files; IDS holds u32, B × (T + 1) of a step; RATES and OUT hold f32.
"""
import importlib.util, json, math, sys, time

import numpy
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

BF16 = dict(device="cuda", dtype=torch.bfloat16)


def seconds(work, enough=0.1):
    """Of one run: the least of three rounds, each long enough that what is around it does not count."""
    def round_of(runs):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(runs):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / runs
    round_of(2)
    runs = max(3, min(10_000, int(enough / round_of(3))))
    return min(round_of(runs) for _ in range(3))


def best(ways):
    """The fastest of some ways by name; what fails has no time."""
    found = {}
    for name, work in ways.items():
        try:
            found[name] = seconds(work)
        except Exception as e:
            print(f"{name}: {str(e).splitlines()[0][:200]}", file=sys.stderr)
    if not found:
        return None, "nothing ran"
    name = min(found, key=found.get)
    return found[name], name


def sdpa(backend, q, k, v):
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION}


def heads(b, t, h, d, n):
    return [torch.rand(b, h, t, d, **BF16, requires_grad=True) for _ in range(n)]


def attend(b, t, h, d):
    q, k, v = heads(b, t, h, d, 3)
    with torch.no_grad():
        return best({name: lambda of=of: sdpa(of, q, k, v) for name, of in BACKENDS.items()})


def attend_grad(b, t, h, d):
    q, k, v = heads(b, t, h, d, 3)
    ways = {}
    for name, of in BACKENDS.items():
        try:
            y = sdpa(of, q, k, v)
        except Exception:
            continue
        ways[name] = lambda y=y, dy=torch.rand_like(y): torch.autograd.grad(y, (q, k, v), dy, retain_graph=True)
    return best(ways)


def recall(b, t, h, d, depth):
    q, k = heads(b, t, h, d, 2)
    def run(of):
        x = q
        for _ in range(depth):
            x = sdpa(of, x, k, k)
        return x
    with torch.no_grad():
        return best({name: lambda of=of: run(of) for name, of in BACKENDS.items()})


def scan(b, t, w):
    from torch._higher_order_ops.associative_scan import associative_scan
    x, gates, skip = torch.rand(b, t, w, **BF16), torch.rand(b, t, 3 * w, **BF16), torch.rand(w, device="cuda")
    decay = torch.rand(w, device="cuda")

    def inputs(x, gates):
        gate, enter, forget = gates.float().chunk(3, -1)
        log_a = -8 * F.softplus(decay) * torch.sigmoid(forget)
        a = log_a.exp()
        return gate, a, (1 - (2 * log_a).exp()).clamp_min(1e-6).sqrt() * torch.sigmoid(enter) * x.float()

    def combine(left, right):
        return left[0] * right[0], right[0] * left[1] + right[1]

    def associative(x, gates):
        gate, a, u = inputs(x, gates)
        h = associative_scan(combine, (a, u), dim=1, combine_mode="pointwise")[1]
        return ((h + skip * x.float()) * F.silu(gate)).bfloat16()

    def doubling(x, gates):
        gate, a, u = inputs(x, gates)
        n = 1
        while n < t:
            u = torch.cat((u[:, :n], a[:, n:] * u[:, :-n] + u[:, n:]), 1)
            a = torch.cat((a[:, :n], a[:, n:] * a[:, :-n]), 1)
            n *= 2
        return ((u + skip * x.float()) * F.silu(gate)).bfloat16()

    with torch.no_grad():
        ways = {name: torch.compile(way) for name, way in [("associative_scan", associative), ("doubling", doubling)]}
        return best({name: lambda way=way: way(x, gates) for name, way in ways.items()})


def norm(rows, w):
    x, gain = torch.rand(rows, w, **BF16), torch.rand(w, **BF16)
    return compiled(lambda x: F.rms_norm(x, (w,), gain, 1e-5), x)


def compiled(work, *inputs):
    ways = {"compiled": torch.compile(work), "eager": work}
    with torch.no_grad():
        return best({name: lambda way=way: way(*inputs) for name, way in ways.items()})


def embed(b, t, w, v):
    table, tokens = torch.rand(v, w, **BF16), torch.randint(v, (b, t), device="cuda")
    return compiled(lambda tokens: F.embedding(tokens, table), tokens)


def conv(b, t, w, taps):
    x, weight, bias = torch.rand(b, t, w, **BF16), torch.rand(w, 1, taps, **BF16), torch.rand(w, **BF16)
    return compiled(lambda x: F.silu(F.conv1d(F.pad(x.transpose(1, 2), (taps - 1, 0)), weight, bias, groups=w)).transpose(1, 2), x)


def mix(b, t, w):
    x, gain, gates = torch.rand(b, t, 3, w, **BF16), torch.rand(3, w, **BF16), torch.rand(b, t, 3, 1, **BF16)
    return compiled(lambda x, gates: F.rms_norm(x, (w,), None, 1e-5) * gain * gates, x, gates)


def swiglu(b, t, w):
    x = torch.rand(b, t, 2 * w, **BF16)
    def run(x):
        a, b = x.chunk(2, -1)
        return F.silu(a) * b
    return compiled(run, x)


def dropout(b, t, w):
    x, y = torch.rand(b, t, w, **BF16), torch.rand(b, t, w, **BF16)
    return compiled(lambda x, y: x + F.dropout(y, 0.1, True), x, y)


def adamw(leaves, rows, w):
    """Without the moving average of the weights, which PyTorch's has not."""
    weights = [torch.rand(rows, w, device="cuda", requires_grad=True) for _ in range(leaves)]
    for weight in weights:
        weight.grad = torch.rand_like(weight)
    step = torch.optim.AdamW(weights, fused=True).step
    return best({"fused": step})


def cross_entropy(rows, w, v):
    x, table = torch.rand(rows, w, **BF16, requires_grad=True), torch.rand(v, w, **BF16, requires_grad=True)
    targets = torch.randint(v, (rows,), device="cuda")
    loss = torch.compile(lambda x, targets: F.cross_entropy(F.linear(x, table).float(), targets, reduction="sum"))

    def run(chunk):
        for start in range(0, rows, chunk):
            loss(x[start:start + chunk], targets[start:start + chunk]).backward()
        x.grad = table.grad = None

    return best({f"{chunk} rows at a time": lambda chunk=chunk: run(chunk) for chunk in (rows, 2048)})


class Run:
    """The reference implementation with fused AdamW, as this program trains it."""

    def __init__(self, reference, config, weights, compiled):
        config.flow_hidden = 0
        self.weights = {name: t.cuda().requires_grad_() for name, t in weights.items() if not name.startswith("flow.")}
        losses = reference.Model(config, self.weights).losses
        self.losses = torch.compile(losses) if compiled else losses
        matrices = [t for name, t in self.weights.items() if t.dim() == 2 and name.endswith("weight")]
        others = [t for name, t in self.weights.items() if not (t.dim() == 2 and name.endswith("weight"))]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)

    def step(self, tokens, targets, rate=1e-3):
        with torch.autocast("cuda", torch.bfloat16):
            losses = self.losses(tokens, targets, z_weight=1e-4)
        losses["total"].backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        self.adamw.zero_grad()
        return losses["nll"]


def step(reference, config, b, t, mode):
    config = reference.Config(**json.load(open(config)))
    run = Run(reference, config, reference.init(config), mode == "compile")
    ids = torch.randint(config.vocab_size, (b, t + 1), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    took = seconds(lambda: run.step(ids[:, :-1], ids[:, 1:]))
    return took, f"peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB"


def curve(reference, checkpoint, ids, rates, b, t, out):
    config, weights = reference.load(checkpoint)
    rates = numpy.fromfile(rates, numpy.float32)
    ids = torch.from_numpy(numpy.fromfile(ids, numpy.uint32).astype(numpy.int64)).reshape(len(rates), b, t + 1).cuda()
    run = Run(reference, config, weights, False)
    began = time.perf_counter()
    losses = [run.step(of[:, :-1], of[:, 1:], float(rate)).detach() for of, rate in zip(ids, rates)]
    torch.stack(losses).float().cpu().numpy().astype(numpy.float32).tofile(out)
    return time.perf_counter() - began, "eager"


def main():
    reference = None
    if len(sys.argv) > 1:
        spec = importlib.util.spec_from_file_location("reference", sys.argv[1])
        reference = importlib.util.module_from_spec(spec)
        sys.modules["reference"] = reference
        spec.loader.exec_module(reference)
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU")
    torch.set_float32_matmul_precision("high")
    print("ready\t" + torch.__version__, flush=True)
    for line in sys.stdin:
        name, *args = line.rstrip("\n").split("\t")
        args = [int(a) if a.lstrip("-").isdigit() else a for a in args]
        try:
            if name in ("step", "curve") and reference is None:
                took, remark = None, "no reference implementation was named"
            else:
                took, remark = globals()[name](*([reference] if name in ("step", "curve") else []), *args)
        except Exception as e:
            took, remark = None, f"{type(e).__name__}: {(str(e).splitlines() or [''])[0][:120]}"
        torch._dynamo.reset()
        torch.cuda.empty_cache()
        print(f"{'-' if took is None else took}\t{remark}", flush=True)


main()
