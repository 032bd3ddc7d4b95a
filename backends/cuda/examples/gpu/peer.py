"""PyTorch's side of the comparison, appended to formulas.py: answers each line of stdin, ID NAME ARGUMENTS…
separated by tabs, with the same id, seconds (or `-`) and a remark.

    NAME SHAPE…                          a formula of formulas.py, or its gradient
    step CONFIG B T eager|compile        a training step of the reference implementation; peak memory in the remark
    curve CHECKPOINT IDS RATES B T OUT   losses of the reference implementation, one step per learning rate

CONFIG and CHECKPOINT are files; IDS contains u32, B × (T + 1) per step; RATES and OUT contain f32.
"""


class Run:
    """The reference implementation with fused AdamW and the hyper-parameters of steps.rs."""

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


@measurement
def step(reference, config, b, t, mode):
    config = reference.Config(**json.load(open(config)))
    run = Run(reference, config, reference.init(config), mode == "compile")
    ids = torch.randint(config.vocab_size, (b, t + 1), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    took = seconds(lambda: run.step(ids[:, :-1], ids[:, 1:]))
    return took, f"peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB"


@measurement
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
        sys.exit("PyTorch finds no GPU")
    torch.set_float32_matmul_precision("high")
    print("ready\t" + torch.__version__, flush=True)
    for line in sys.stdin:
        id, name, *args = line.rstrip("\n").split("\t")
        args = [int(a) if a.lstrip("-").isdigit() else a for a in args]
        try:
            if name in ("step", "curve") and reference is None:
                took, remark = None, "no reference implementation given"
            else:
                took, remark = MEASUREMENTS[name](*([reference] if name in ("step", "curve") else []), *args)
        except Exception as e:
            took, remark = None, f"{type(e).__name__}: {(str(e).splitlines() or [''])[0][:120]}"
        torch._dynamo.reset()
        torch.cuda.empty_cache()
        print(f"{id}\t{'-' if took is None else took}\t{remark}", flush=True)


main()
