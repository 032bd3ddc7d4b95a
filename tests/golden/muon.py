"""Three steps of Muon, and of AdamW on the tensors that it leaves, in plain Python: writes muon.safetensors.

    python3 tests/golden/muon.py        (in the root of the repository; needs no package)

Weights, gradients and constants are those of adamw.safetensors, whose steps PyTorch took. The update is that of Keller Jordan's
Muon and of torch.optim.Muon with adjust_lr_fn="original", in double precision; each matrix that is packed into a tensor is a
matrix of its own.
"""
import json
import math
import struct
from pathlib import Path

FOLDER = Path(__file__).parent
MUON = dict(muon_lr=0.0625, muon_momentum=0.875, muon_weight_decay=0.125, muon_ns_steps=5)
# Rows of the packed matrices, for this configuration: three projections of a Hopfield path, two halves of a SwiGLU.
PARTS = {"blocks.0.in_proj.weight": [4, 4, 4], "blocks.0.out_proj.weight": [4], "blocks.0.ffn.in.weight": [3, 3], "blocks.0.ffn.out.weight": [4]}
KINDS = {"F32": ("f", 4), "F64": ("d", 8)}


def read(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    case = json.loads(header.pop("__metadata__")["case"])
    tensors = {}
    for name, entry in header.items():
        kind, width = KINDS[entry["dtype"]]
        start, end = entry["data_offsets"]
        tensors[name] = (entry["shape"], list(struct.unpack(f"<{(end - start) // width}{kind}", data[8 + size + start:8 + size + end])))
    return case, tensors


def write(path, case, tensors):
    header, body = {"__metadata__": {"case": json.dumps(case)}}, b""
    for name, (shape, numbers) in sorted(tensors.items()):
        # What comes from adamw.safetensors is exact in f32.
        dtype = "F64" if name.startswith(("after", "average", "norm")) else "F32"
        piece = struct.pack(f"<{len(numbers)}{KINDS[dtype][0]}", *numbers)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(piece)]}
        body += piece
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def transposed(x):
    return [list(column) for column in zip(*x)]


def product(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in transposed(b)] for row in a]


def newton_schulz(g, steps):
    """zeropower_via_newtonschulz5 of the published code."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = len(g) > len(g[0])
    x = transposed(g) if tall else g
    norm = max(math.sqrt(sum(v * v for row in x for v in row)), 1e-7)
    x = [[v / norm for v in row] for row in x]
    for _ in range(steps):
        square = product(x, transposed(x))
        fourth = product(square, square)
        poly = [[b * s + c * f for s, f in zip(*rows)] for rows in zip(square, fourth)]
        x = [[a * v + m for v, m in zip(*rows)] for rows in zip(x, product(poly, x))]
    return transposed(x) if tall else x


def main():
    case, given = read(FOLDER / "adamw.safetensors")
    h = case["hyper"] | MUON
    weights = {name[7:]: (shape, list(x)) for name, (shape, x) in given.items() if name.startswith("weight.")}
    first, second, average = ({name: f(x) for name, (_, x) in weights.items()} for f in (lambda x: [0.0] * len(x), lambda x: [0.0] * len(x), list))
    norms = {}
    for step in range(h["steps"]):
        grads = {name: given[f"grad.{step}.{name}"][1] for name in weights}
        norm = math.sqrt(sum(g * g for grad in grads.values() for g in grad))
        norms[f"norm.{step}"] = ([1], [norm])
        clipped = min(1.0, h["clip"] / norm)
        rate = min(h["ema"], (1 + step) / (10 + step))
        for name, (shape, w) in weights.items():
            g, m, v = [x * clipped for x in grads[name]], first[name], second[name]
            if name in PARTS:
                mu, lr, columns, row = h["muon_momentum"], h["muon_lr"], shape[1], 0
                m[:] = [mu * m + (1 - mu) * g for m, g in zip(m, g)]
                update = [mu * m + (1 - mu) * g for m, g in zip(m, g)]
                w[:] = [x * (1 - lr * h["muon_weight_decay"]) for x in w]
                for rows in PARTS[name]:
                    part = [update[i * columns:(i + 1) * columns] for i in range(row, row + rows)]
                    scale = max(1.0, rows / columns) ** 0.5
                    for i, values in enumerate(newton_schulz(part, h["muon_ns_steps"])):
                        for j, value in enumerate(values):
                            w[(row + i) * columns + j] -= lr * scale * value
                    row += rows
            else:
                b1, b2 = h["beta1"], h["beta2"]
                m[:] = [b1 * m + (1 - b1) * g for m, g in zip(m, g)]
                v[:] = [b2 * v + (1 - b2) * g * g for v, g in zip(v, g)]
                decay = h["weight_decay"] if len(shape) == 2 and name.endswith("weight") else 0.0
                for i in range(len(w)):
                    m_hat, v_hat = m[i] / (1 - b1 ** (step + 1)), v[i] / (1 - b2 ** (step + 1))
                    w[i] -= h["lr"] * (m_hat / (math.sqrt(v_hat) + h["adam_eps"]) + decay * w[i])
            average[name] = [a + (1 - rate) * (x - a) for a, x in zip(average[name], w)]
    out = {name: tensor for name, tensor in given.items() if name.startswith(("weight.", "grad."))} | norms
    out |= {f"after.{name}": tensor for name, tensor in weights.items()}
    out |= {f"average.{name}": (weights[name][0], x) for name, x in average.items()}
    write(FOLDER / "muon.safetensors", {"config": case["config"], "hyper": h}, out)


main()
