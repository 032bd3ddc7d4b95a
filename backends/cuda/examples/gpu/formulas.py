"""The kernels in PyTorch. Each formula is registered under its name, and its gradient under NAME_grad."""
import importlib.util, json, math, sys, time

import numpy
import torch
import torch.nn.functional as F
from torch._functorch import config as functorch
from torch.nn.attention import SDPBackend, sdpa_kernel

DEVICE = "cuda"
BF16 = dict(device=DEVICE, dtype=torch.bfloat16)
# A gradient is timed many times on one graph.
functorch.donated_buffer = False
# Measurements by name.
MEASUREMENTS = {}


def seconds(work, enough=0.1):
    """Seconds per run: the minimum of three rounds, each long enough that overhead is negligible."""
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
    """The fastest of several implementations by name, each a function that returns the work to time; skips those that fail."""
    found = {}
    for name, ready in ways.items():
        try:
            found[name] = seconds(ready())
        except Exception as e:
            print(f"{name}: {(str(e).splitlines() or [''])[0][:200]}", file=sys.stderr)
    if not found:
        return None, "every implementation failed"
    name = min(found, key=found.get)
    return found[name], name


def measurement(work):
    MEASUREMENTS[work.__name__] = work
    return work


def formula(make):
    """Registers forward and gradient. `make(*shape)` returns implementations by name, and inputs; those that require one get a gradient."""
    def forward(*shape):
        ways, inputs = make(*shape)
        with torch.no_grad():
            return best({name: lambda way=way: lambda: way(*inputs) for name, way in ways.items()})

    def gradient(*shape):
        ways, inputs = make(*shape)
        differentiated = [x for x in inputs if x.requires_grad]

        def ready(way):
            y = way(*inputs)
            dy = torch.rand_like(y)
            return lambda: torch.autograd.grad(y, differentiated, dy, retain_graph=True)

        return best({name: lambda way=way: ready(way) for name, way in ways.items()})

    MEASUREMENTS[make.__name__] = forward
    MEASUREMENTS[make.__name__ + "_grad"] = gradient
    return make


def either(work):
    return {"compiled": torch.compile(work), "eager": work}


def numbers(*shape):
    """Random activations in bf16."""
    return torch.rand(*shape, **BF16, requires_grad=True)


def weights(*shape):
    """Random weights in f32."""
    return torch.rand(*shape, device=DEVICE, requires_grad=True)


def sdpa(backend, q, k, v):
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION}


@formula
def attend(b, t, h, d):
    return {name: lambda q, k, v, of=of: sdpa(of, q, k, v) for name, of in BACKENDS.items()}, [numbers(b, h, t, d) for _ in range(3)]


@formula
def recall(b, t, h, d, depth):
    """K calls of attention, each on the output of the last one, keys = values."""
    def run(of, q, k):
        for _ in range(depth):
            q = sdpa(of, q, k, k)
        return q
    return {name: lambda q, k, of=of: run(of, q, k) for name, of in BACKENDS.items()}, [numbers(b, h, t, d) for _ in range(2)]


@formula
def hebbian(b, t, h, d, depth):
    """K products with all items, weighted by decay ** age."""
    def run(q, p, v, decay):
        age = torch.arange(t, device=DEVICE)
        age = age[:, None] - age
        kept = torch.where(age >= 0, decay[:, None, None] ** age.clamp_min(0), 0).bfloat16()
        q, p, y = F.normalize(q, dim=-1), F.normalize(p, dim=-1), 0
        for k in range(depth):
            s = q @ p.mT * kept
            y = y + s @ v
            if k + 1 < depth:
                q = F.normalize(q + torch.tanh(s @ p), dim=-1)
        return y
    return either(run), [*(numbers(b, h, t, d) for _ in range(3)), weights(h)]


def doubled(a, u):
    """h_t = a_t h_(t−1) + u_t along dimension 1 by recursive doubling, in log₂ T steps."""
    n, t = 1, u.shape[1]
    while n < t:
        u = torch.cat((u[:, :n], a[:, n:] * u[:, :-n] + u[:, n:]), 1)
        a = torch.cat((a[:, :n], a[:, n:] * a[:, :-n]), 1)
        n *= 2
    return u


def associated(a, u):
    """The same recurrence by PyTorch's associative_scan."""
    from torch._higher_order_ops.associative_scan import associative_scan
    return associative_scan(lambda left, right: (left[0] * right[0], right[0] * left[1] + right[1]), (a, u), dim=1, combine_mode="pointwise")[1]


def recurrent(run):
    return {name: torch.compile(lambda *inputs, of=of: run(of, *inputs)) for name, of in [("associative_scan", associated), ("doubling", doubled)]}


@formula
def scan(b, t, w):
    def run(of, x, gates, decay, skip):
        gate, enter, forget = gates.float().chunk(3, -1)
        log_a = -8 * F.softplus(decay) * torch.sigmoid(forget)
        u = (1 - (2 * log_a).exp()).clamp_min(1e-6).sqrt() * torch.sigmoid(enter) * x.float()
        return ((of(log_a.exp(), u) + skip * x.float()) * F.silu(gate)).bfloat16()
    return recurrent(run), [numbers(b, t, w), numbers(b, t, 3 * w), weights(w), weights(w)]


@formula
def pool(b, t, w):
    def run(of, x, decay):
        a = torch.sigmoid(decay).expand(b, t, w)
        return of(a, (1 - a) * F.silu(x.float())).bfloat16()
    return recurrent(run), [numbers(b, t, w), weights(w)]


@formula
def norm(rows, w):
    return either(lambda x, gain: F.rms_norm(x, (w,), gain.bfloat16(), 1e-5)), [numbers(rows, w), weights(w)]


@formula
def embed(b, t, w, v):
    return either(lambda tokens, table: F.embedding(tokens, table)), [torch.randint(v, (b, t), device=DEVICE), numbers(v, w)]


@formula
def conv(b, t, w, taps):
    def run(x, weight, bias):
        return F.silu(F.conv1d(F.pad(x.transpose(1, 2), (taps - 1, 0)), weight, bias, groups=w)).transpose(1, 2)
    return either(run), [numbers(b, t, w), numbers(w, 1, taps), numbers(w)]


@formula
def mix(b, t, w):
    def run(x, gain, gates):
        return F.rms_norm(x, (w,), None, 1e-5) * gain * gates
    return either(run), [numbers(b, t, 3, w), numbers(3, w), numbers(b, t, 3, 1)]


@formula
def gate(b, t, hidden):
    return either(lambda x, weight, bias: 3 * F.linear(F.silu(x), weight, bias).softmax(-1)), [numbers(b, t, hidden), numbers(3, hidden), numbers(3)]


@formula
def swiglu(b, t, w):
    def run(x):
        a, b = x.chunk(2, -1)
        return F.silu(a) * b
    return either(run), [numbers(b, t, 2 * w)]


@formula
def rotate(b, t, h, d):
    angle = torch.arange(t, device=DEVICE)[:, None, None] * 10_000.0 ** (torch.arange(d // 2, device=DEVICE) * (-2 / d))
    c, s = angle.cos().bfloat16(), angle.sin().bfloat16()
    def run(x):
        p, q = x.chunk(2, -1)
        return torch.cat((p * c - q * s, p * s + q * c), -1)
    return either(run), [numbers(b, t, h, d)]


@formula
def dropout(b, t, w):
    return either(lambda x, y: x + F.dropout(y, 0.1, True)), [numbers(b, t, w), numbers(b, t, w)]


@formula
def flow_point(rows, w, v):
    def run(targets, table, noise, tau):
        goal = math.sqrt(w) * F.normalize(F.embedding(targets, table), dim=-1).bfloat16()
        return torch.cat(((1 - tau) * noise + tau * goal, goal - noise), -1)
    return either(run), [torch.randint(v, (rows,), device=DEVICE), weights(v, w), numbers(rows, w), numbers(rows, 1)]


@formula
def flow_hidden(rows, w):
    return either(lambda x, tau, weight: F.silu(x + tau * weight)), [numbers(rows, w), torch.rand(rows, 1, **BF16), numbers(w)]


@formula
def squared_error(rows, w):
    """Loss and gradient, which are one kernel here."""
    def run(x, goal):
        error = (x - goal).float()
        return torch.cat(((error * (2 / (rows * w))).bfloat16(), (error * error).mean(-1, keepdim=True).bfloat16()), -1)
    return either(run), [numbers(rows, w), numbers(rows, w)]


@measurement
def uniform(*shape):
    x = torch.empty(*shape, **BF16)
    return best({"eager": lambda: x.uniform_})


@measurement
def normal(*shape):
    x = torch.empty(*shape, **BF16)
    return best({"eager": lambda: x.normal_})


@measurement
def sum_squares(leaves, rows, w):
    grads = [torch.rand(rows, w, device=DEVICE) for _ in range(leaves)]
    return best({"foreach": lambda: lambda: torch.stack(torch._foreach_norm(grads)).norm()})


@measurement
def adamw(leaves, rows, w):
    """Without the moving average of the weights, which torch.optim.AdamW lacks."""
    leaves = [weights(rows, w) for _ in range(leaves)]
    for leaf in leaves:
        leaf.grad = torch.rand_like(leaf)
    return best({"fused": lambda: torch.optim.AdamW(leaves, fused=True).step})


@measurement
def cross_entropy(rows, w, v):
    """Loss and gradients, for all rows at once or in chunks of rows."""
    x, table = numbers(rows, w), numbers(v, w)
    targets = torch.randint(v, (rows,), device=DEVICE)
    loss = torch.compile(lambda x, targets: F.cross_entropy(F.linear(x, table).float(), targets, reduction="sum"))

    def run(chunk):
        for start in range(0, rows, chunk):
            loss(x[start:start + chunk], targets[start:start + chunk]).backward()
        x.grad = table.grad = None

    return best({f"{chunk} rows at a time": lambda chunk=chunk: lambda: run(chunk) for chunk in (rows, 2048)})
