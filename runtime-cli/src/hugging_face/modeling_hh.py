"""hh models in PyTorch for `transformers`: hybrids of state space, Hopfield memory and attention. Written by `hh-runtime export --hf`.

Shapes: B texts, T positions, D width. Everything is causal: output t depends on inputs 0..=t alone. Padding may stand anywhere in a
row; a row is computed as if it were alone.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput

from .configuration_hh import PATHS, HHConfig

# Deviation of initial weights.
STD = 0.02
# Items of an episodic memory without a window, as in a session of hh.
EPISODES = 4096


def rms_norm(x, gain, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * gain


def unit(x):
    return x * torch.rsqrt(x.pow(2).sum(-1, keepdim=True) + 1e-6)


def scan(a, b):
    """h_t = a_t h_(t-1) + b_t along dimension 1, in log2(T) rounds."""
    k = 1
    while k < a.shape[1]:
        b = torch.cat([b[:, :k], b[:, k:] + a[:, k:] * b[:, :-k]], 1)
        a = torch.cat([a[:, :k], a[:, k:] * a[:, :-k]], 1)
        k *= 2
    return b


def rope(x, base=10000.0):
    half = x.shape[-1] // 2
    steps = torch.arange(half, device=x.device, dtype=torch.float32) / half
    angle = torch.arange(x.shape[-2], device=x.device)[:, None] * base**-steps
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def causal_mask(length, window, device):
    """[T, T]: which positions a position sees, itself among them; at most the newest `window`, if that is not 0."""
    t = torch.arange(length, device=device)
    age = t[:, None] - t[None, :]
    return (age >= 0) & (age < window) if window else age >= 0


def linear(inputs, outputs, std=STD, bias=False):
    """A projection whose initial weights have this deviation."""
    module = nn.Linear(inputs, outputs, bias=bias)
    module.std = std
    return module


class Gain(nn.Module):
    """The gain of a norm."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))


class TokenEmbedding(nn.Embedding):
    """[V, E]; with projections to and from the width where E is another."""

    def __init__(self, c):
        super().__init__(c.vocab_size, c.embed_dim)
        if c.embed_dim != c.width:
            self.up = linear(c.embed_dim, c.width, c.embed_dim**-0.5)
            self.down = linear(c.width, c.embed_dim, c.width**-0.5)


class Conv(nn.Module):
    def __init__(self, width, taps):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(width, taps)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        taps = self.weight.shape[1]
        x = F.pad(x.transpose(1, 2), (taps - 1, 0))
        return F.conv1d(x, self.weight[:, None], self.bias, groups=self.weight.shape[0]).transpose(1, 2)


class SSM(nn.Module):
    """A gated diagonal recurrence with a skip: RG-LRU (De et al. 2024), after a short causal convolution."""

    def __init__(self, c, width):
        super().__init__()
        self.conv = Conv(width, c.ssm_conv)
        self.gate_bias = nn.Parameter(torch.zeros(2, width))
        self.log_decay, self.skip = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.ones(width))

    def forward(self, z, u):
        x, gate, g_in, g_forget = z.chunk(4, -1)
        x = F.silu(self.conv(x))
        g_in, g_forget = torch.sigmoid(g_in + self.gate_bias[0]), torch.sigmoid(g_forget + self.gate_bias[1])
        log_a = -8 * F.softplus(self.log_decay.float()) * g_forget.float()
        h = scan(log_a.exp(), torch.sqrt(-torch.expm1(2 * log_a) + 1e-6) * (g_in * x).float())
        return (h.to(x.dtype) + self.skip * x) * F.silu(gate)


class Hopfield(nn.Module):
    """K refinements of a query in an associative memory, mixed over their depths; `modern` (Ramsauer et al. 2020) or `classic`."""

    def __init__(self, c, layer, width):
        super().__init__()
        self.c, heads, self.k = c, width // c.head_dim, c.hopfield_depths[layer]
        self.log_beta = nn.Parameter(torch.zeros(heads))
        self.classic, self.slots = c.hopfield_kind == "classic", c.hopfield_kind != "classic" and c.hopfield_slots > 0
        if self.classic:
            self.decay = nn.Parameter(torch.zeros(heads))
        if self.slots:
            self.slot_patterns = nn.Parameter(torch.zeros(heads, c.hopfield_slots, c.head_dim))
            self.slot_values = nn.Parameter(torch.zeros(heads, c.hopfield_slots, c.head_dim))
        self.depth = linear(c.width, self.k, 0, bias=True)

    def forward(self, z, u):
        c, (batch, time, _) = self.c, z.shape
        q, patterns, values = (x.view(batch, time, -1, c.head_dim).transpose(1, 2) for x in z.chunk(3, -1))
        state, patterns = unit(q), unit(patterns)
        mask = causal_mask(time, 0 if self.classic else c.window(c.hopfield_window), z.device)
        if c.hopfield_association == "successor":  # item j is (pattern of j - 1 -> value of j); item 0 is empty
            patterns = F.pad(patterns, (0, 0, 1, 0))[:, :, :-1]
            mask = mask & (torch.arange(time, device=z.device) > 0)
        beta, reads = self.log_beta.exp()[:, None, None], []
        if self.classic:
            t = torch.arange(time, device=z.device)
            age = (t[:, None] - t[None, :]).clamp(min=0)
            weight = (torch.sigmoid(self.decay.float())[:, None, None] ** age * mask).to(z.dtype)
            for _ in range(self.k):
                s = (state @ patterns.transpose(-1, -2)) * weight
                reads.append(s @ values)
                state = unit(state + torch.tanh(beta * (s @ patterns)))
        else:
            if self.slots:
                patterns = torch.cat([unit(self.slot_patterns).expand(batch, -1, -1, -1), patterns], 2)
                values = torch.cat([self.slot_values.expand(batch, -1, -1, -1), values], 2)
                mask = torch.cat([mask.new_ones(time, c.hopfield_slots), mask], 1)
            some = mask.any(-1, keepdim=True)  # an empty memory reads as zero
            for _ in range(self.k):
                s = (beta * (state @ patterns.transpose(-1, -2))).masked_fill(~mask, torch.finfo(z.dtype).min).softmax(-1) * some
                reads.append(s @ values)
                state = unit(state + s @ patterns)
        share = self.depth(u).softmax(-1)
        return sum(share[..., k : k + 1] * read.transpose(1, 2).reshape(batch, time, -1) for k, read in enumerate(reads))


class Attention:
    """Causal multi-head attention with rotary positions; it has no weights beside the packed projections."""

    def __init__(self, c):
        self.c = c

    def __call__(self, z, u):
        c, (batch, time, _) = self.c, z.shape
        q, k, v = (x.view(batch, time, -1, c.head_dim).transpose(1, 2) for x in z.chunk(3, -1))
        if c.positions == "rope":
            q, k = rope(q), rope(k)
        window = c.window(c.attention_window)
        if window and window < time:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=causal_mask(time, window, z.device))
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(batch, time, -1)


class Mixer(nn.Module):
    def __init__(self, c, paths):
        super().__init__()
        self.norm = Gain(sum(paths.values()))
        if len(paths) > 1 and c.mixer_kind == "softmax":
            self.hidden, self.gate = linear(c.width, c.mixer_hidden, bias=True), linear(c.mixer_hidden, len(paths), 0, bias=True)


class FFN(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.add_module("in", linear(c.width, 2 * c.ffn))
        self.out = linear(c.ffn, c.width, STD * (2 * c.layers) ** -0.5)

    def forward(self, x):
        a, gate = getattr(self, "in")(x).chunk(2, -1)
        return self.out(F.silu(a) * gate)


class Block(nn.Module):
    def __init__(self, c, layer):
        super().__init__()
        self.c, self.layer, self.paths = c, layer, c.paths(layer)
        self.packed = [(4 if path == "ssm" else 3) * width for path, width in self.paths.items()]
        self.norm_mix, self.norm_ffn = Gain(c.width), Gain(c.width)
        self.in_proj = linear(c.width, sum(self.packed))
        if "ssm" in self.paths:
            self.ssm = SSM(c, self.paths["ssm"])
        if "hopfield" in self.paths:
            self.hopfield = Hopfield(c, layer, self.paths["hopfield"])
        if "attention" in self.paths:
            self.attention = Attention(c)
        self.mixer = Mixer(c, self.paths)
        self.out_proj = linear(sum(self.paths.values()), c.width, STD * (2 * c.layers) ** -0.5)
        self.ffn = FFN(c)

    def forward(self, x, gate_bias):
        c, n = self.c, len(self.paths)
        u = rms_norm(x, self.norm_mix.weight, c.norm_eps)
        columns = self.in_proj(u).split(self.packed, -1)
        y = [getattr(self, path)(z, u) for path, z in zip(self.paths, columns)]
        gains = self.mixer.norm.weight.split(list(self.paths.values()))
        if c.mixer_kind == "sum":
            y = [out * gain for out, gain in zip(y, gains)]
        else:
            y = [rms_norm(out, gain, c.norm_eps) for out, gain in zip(y, gains)]
        if n > 1 and c.mixer_kind == "softmax":
            logits = self.mixer.gate(F.silu(self.mixer.hidden(u)))
            if gate_bias is not None:
                logits = logits + gate_bias[..., [3 * self.layer + PATHS.index(path) for path in self.paths]]
            gates = n * logits.softmax(-1)
            y = [gates[..., i : i + 1] * out for i, out in enumerate(y)]
        x = x + self.out_proj(torch.cat(y, -1))
        return x + self.ffn(rms_norm(x, self.norm_ffn.weight, c.norm_eps))


class Controller(nn.Module):
    """A causal running summary of a segment's hidden states: biases of the next segment's gates, and a part of its input."""

    def __init__(self, c):
        super().__init__()
        self.add_module("in", linear(c.width, c.controller_width))
        self.decay = nn.Parameter(torch.zeros(c.controller_width))
        self.gate_bias = linear(c.controller_width, 3 * c.layers, 0)
        if c.controller_inject:
            self.inject = linear(c.controller_width, c.width, 0)

    def forward(self, h0, hidden):
        x = F.silu(getattr(self, "in")(hidden.detach()))
        a = torch.sigmoid(self.decay.float()).expand_as(x)
        summary = scan(a, (1 - a) * x.float()).to(x.dtype)
        return (h0 + self.inject(summary) if hasattr(self, "inject") else h0), self.gate_bias(summary)


class EpisodicGate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.match, self.bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))


class Episodic(nn.Module):
    """Looks hidden states up among the earlier ones, and mixes the tokens that followed those into the distribution."""

    def __init__(self, c):
        super().__init__()
        self.window = c.episodic_window or EPISODES
        self.key = linear(c.width, c.episodic_width, c.width**-0.5)
        self.log_beta, self.gate = nn.Parameter(torch.zeros(1)), EpisodicGate(c.width)

    def forward(self, hidden, logits, tokens):
        """Log-probabilities [B, T, V] of the mixture."""
        time, device = tokens.shape[1], hidden.device
        keys, out = unit(self.key(hidden)).float(), logits.float().log_softmax(-1)
        mask = causal_mask(time, self.window + 1, device) & ~torch.eye(time, dtype=torch.bool, device=device)
        match = (keys @ keys.transpose(-1, -2)).masked_fill(~mask, -1e30)
        recalled = (self.log_beta.exp() * match).softmax(-1) * mask
        gate = hidden.float() @ self.gate.weight.float() + self.gate.match * match.amax(-1) + self.gate.bias
        gate = gate.masked_fill(~mask.any(-1), -1e30)[..., None]
        came = F.pad(tokens[:, 1:], (0, 1))[:, None, :].expand_as(recalled)
        votes = torch.zeros_like(out).scatter_add(-1, came, recalled)
        return torch.logaddexp(F.logsigmoid(-gate) + out, F.logsigmoid(gate) + votes.clamp(min=1e-30).log())


class HHPreTrainedModel(PreTrainedModel):
    config_class = HHConfig
    _no_split_modules = ["Block"]
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module):
        """Initial values of a model that is trained from random weights, of the distributions that hh draws them from."""
        c = self.config

        def put(p, values):
            if not getattr(p, "_is_hf_initialized", False):  # loaded
                p.copy_(values)

        draw = lambda p, std: put(p, torch.randn_like(p) * std)
        spread = lambda p, first, last: put(p, torch.linspace(first, last, p.numel()))
        if isinstance(module, nn.Linear):
            draw(module.weight, module.std)
            if module.bias is not None:
                put(module.bias, 0 * module.bias)
        elif isinstance(module, nn.Embedding):
            draw(module.weight, STD)
        elif isinstance(module, Gain):
            put(module.weight, torch.ones_like(module.weight))
        elif isinstance(module, Conv):
            draw(module.weight, 1 / module.weight.shape[1])
            put(module.bias, 0 * module.bias)
        elif isinstance(module, SSM):
            decay = torch.empty_like(module.log_decay).uniform_(0.9, 0.999)
            put(module.log_decay, torch.log(torch.expm1(-torch.log(decay) / 8)))
            put(module.gate_bias, torch.zeros_like(module.gate_bias))
            put(module.skip, torch.ones_like(module.skip))
        elif isinstance(module, Hopfield):
            put(module.log_beta, torch.full_like(module.log_beta, 0.5 * math.log(c.head_dim)))
            if module.classic:
                spread(module.decay, 2.0, 7.0)
            if module.slots:
                draw(module.slot_patterns, 1.0)
                draw(module.slot_values, STD)
        elif isinstance(module, Controller):
            spread(module.decay, -2.0, 4.0)
        elif isinstance(module, Episodic):
            put(module.log_beta, torch.full_like(module.log_beta, math.log(12.0)))
        elif isinstance(module, EpisodicGate):
            put(module.weight, torch.zeros_like(module.weight))
            put(module.match, torch.zeros_like(module.match))
            put(module.bias, torch.full_like(module.bias, -2.0))


class HHModel(HHPreTrainedModel):
    """Tokens to normalised hidden states [B, T, D] of the last segment."""

    def __init__(self, config):
        super().__init__(config)
        c = config
        self.embed = TokenEmbedding(c)
        if c.positions == "learned":
            self.positions = nn.Embedding(c.max_len, c.width)
        self.blocks = nn.ModuleList(Block(c, layer) for layer in range(c.layers))
        self.norm_out = Gain(c.width)
        if c.controller_width:
            self.controller = Controller(c)
        if c.episodic_width:
            self.episodic = Episodic(c)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed

    def set_input_embeddings(self, embed):
        self.embed = embed

    def forward(
        self, input_ids=None, attention_mask=None, inputs_embeds=None, output_hidden_states=None, return_dict=None, segments=None, **_
    ):
        """`segments` is the number of passes over the blocks, the configuration's if absent. Hidden states of padding are zeros."""
        c = self.config
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        tokens = input_ids if inputs_embeds is None else inputs_embeds
        pad, back = None, None
        if attention_mask is not None:
            order = attention_mask.bool().long().argsort(dim=1, descending=True, stable=True)
            kept = attention_mask.bool().gather(1, order)
            pad = ~kept
            if tokens.dim() == 2:
                # A token for padding need not be one of the vocabulary.
                tokens = tokens.gather(1, order).masked_fill(pad, 0)
            else:
                tokens = tokens.gather(1, order[..., None].expand_as(tokens)).masked_fill(pad[..., None], 0)
            back = order.argsort(1)
        x = self.embed(tokens.long()) if tokens.dim() == 2 else tokens
        hidden, states = self.run(x, segments or c.segments)
        if pad is not None:
            place = lambda x: x.masked_fill(pad[..., None], 0).gather(1, back[..., None].expand_as(x))
            hidden, states = place(hidden), [place(x) for x in states]
        shown = output_hidden_states if output_hidden_states is not None else getattr(c, "output_hidden_states", False)
        out = BaseModelOutput(last_hidden_state=hidden, hidden_states=tuple(states) if shown else None)
        return out if return_dict is not False else out.to_tuple()

    def run(self, x, segments):
        """Rows without padding before or between their tokens: the hidden states, and what each block of the last segment gave."""
        c = self.config
        if x.shape[1] == 0:  # texts without a token
            empty = x.new_zeros(x.shape[0], 0, c.width)
            return empty, [empty]
        if hasattr(self.embed, "up"):
            x = self.embed.up(x)
        if c.positions == "learned":
            if x.shape[1] > c.max_len:
                raise ValueError(f"a text of {x.shape[1]} tokens is longer than the {c.max_len} positions that the model learned")
            x = x + self.positions.weight[: x.shape[1]]
        h0, gate_bias = x, None
        for segment in range(segments):
            last = segment + 1 == segments
            # Only the last segment carries gradient.
            with torch.set_grad_enabled(torch.is_grad_enabled() and last):
                states = [x]
                for block in self.blocks:
                    x = block(x, gate_bias)
                    states.append(x)
                hidden = rms_norm(x, self.norm_out.weight, c.norm_eps)
            if last:
                return hidden, states
            x, gate_bias = self.controller(h0, hidden) if hasattr(self, "controller") else (h0, None)


class HHForCausalLM(HHModel, GenerationMixin):
    """Tokens to logits [B, T, V]; with an episodic memory to the log-probabilities of its mixture, which stand in their place."""

    def get_output_embeddings(self):
        return None

    def set_output_embeddings(self, _):
        raise NotImplementedError("the LM head is the token embedding")

    @classmethod
    def _supports_default_dynamic_cache(cls, *_):
        return False

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, segments=None, **_):
        # The whole text at every step: there is no cache.
        return {"input_ids": input_ids, "attention_mask": attention_mask, "segments": segments}

    def forward(self, input_ids=None, attention_mask=None, labels=None, logits_to_keep=0, return_dict=None, **kwargs):
        """`labels` are the tokens themselves, -100 where they do not count; each is predicted from those before it."""
        if kwargs.pop("past_key_values", None) is not None:
            raise ValueError("hh models have no cache in PyTorch: call them without past_key_values")
        kwargs.pop("use_cache", None)
        out = super().forward(input_ids, attention_mask, return_dict=True, **kwargs)
        hidden = out.last_hidden_state
        kept = hidden if hasattr(self, "episodic") or not isinstance(logits_to_keep, int) else hidden[:, -logits_to_keep:]
        low = self.embed.down(kept) if hasattr(self.embed, "down") else kept
        logits = F.linear(low, self.embed.weight)
        if hasattr(self, "episodic"):
            if input_ids is None:
                raise ValueError("the episodic memory stores tokens: give input_ids")
            logits = self.mixed(hidden, logits, input_ids, attention_mask)
            logits = logits[:, -logits_to_keep:] if isinstance(logits_to_keep, int) else logits
        if not isinstance(logits_to_keep, int):
            logits = logits[:, logits_to_keep]
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100)
        done = CausalLMOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)
        return done if return_dict is not False else done.to_tuple()

    def mixed(self, hidden, logits, tokens, attention_mask):
        if attention_mask is None:
            return self.episodic(hidden, logits, tokens)
        order = attention_mask.bool().long().argsort(dim=1, descending=True, stable=True)
        first = lambda x: x.gather(1, order[..., None].expand_as(x))
        tokens = tokens.gather(1, order).masked_fill(~attention_mask.bool().gather(1, order), 0)
        out = self.episodic(first(hidden), first(logits), tokens)
        return out.gather(1, order.argsort(1)[..., None].expand_as(out))
