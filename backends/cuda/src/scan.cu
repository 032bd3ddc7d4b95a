// The gated diagonal recurrence, chunked over time. A thread processes SCAN_CHUNK positions of VEC channels. With several chunks,
// a first kernel computes each chunk's affine map of h (h → whole · h + end), and the second starts from the composition of the
// maps of earlier chunks.
//
// Forward, bytes: x, gate, g_in, g_forget, y and the saved h once, x and two gates once more for the chunks' ends; about 40
// operations per element, four of them exponentials. Backward: x twice, three gates and their gradients, h twice, dy twice, dx.
#include "common.cuh"

constexpr int SCAN_CHUNK = 32;

// Columns of a position: gate | g_in | g_forget of VEC channels, with their parameters.
struct ScanChannel {
    float bias_in[VEC], bias_forget[VEC], rate[VEC];
};

struct ScanInputs {
    Tensor x, gates, gate_bias, log_decay, skip;
    int batch, time, width;
};

struct ScanSpan {
    int sequence, chunk, chunks, from, to, channel;
    bool inside;
};

DEVICE ScanSpan scan_span(const ScanInputs& in) {
    const int groups = in.width / VEC, chunks = (in.time + SCAN_CHUNK - 1) / SCAN_CHUNK;
    const size_t i = thread();
    const int chunk = i / groups % chunks, sequence = i / groups / chunks;
    const int to = min((chunk + 1) * SCAN_CHUNK, in.time);
    return {sequence, chunk, chunks, chunk * SCAN_CHUNK, to, static_cast<int>(i % groups) * VEC, sequence < in.batch};
}

DEVICE ScanChannel scan_channel(const ScanInputs& in, int channel) {
    ScanChannel c;
    load(in.gate_bias, channel, c.bias_in);
    load(in.gate_bias, in.width + channel, c.bias_forget);
    load(in.log_decay, channel, c.rate);
#pragma unroll
    for (int n = 0; n < VEC; n++) c.rate[n] = -8.0f * softplus(c.rate[n]);
    return c;
}

// Values derived from a channel's gates: gᵢ, g_f, a, sqrt(1 − a² + 1e-6).
struct ScanGates {
    float input, forget, decay, scale;
};

DEVICE ScanGates scan_gates(float g_in, float g_forget, float rate) {
    const float forget = sigmoid(g_forget), z = 2.0f * rate * forget, a = power_of_two(0.5f * LOG2_E * z);
    // 1 − eᶻ: for a near 1, 1 − a² cancels, and six terms of the series are accurate to f32.
    const float series = -z * (1.0f + z * (1.0f / 2) * (1.0f + z * (1.0f / 3) * (1.0f + z * (1.0f / 4) * (1.0f + z * (1.0f / 5) * (1.0f + z * (1.0f / 6))))));
    return {sigmoid(g_in), forget, a, root(1e-6f + (z > -0.25f ? series : 1.0f - a * a))};
}

// Offset in `ends` of the initial state, after all chunks: a copy, since the last chunk may overwrite the state before the first
// chunk reads it.
DEVICE size_t scan_start(const ScanInputs& in, const ScanSpan& p) {
    return (static_cast<size_t>(in.batch) * p.chunks * 2 + p.sequence) * in.width + p.channel;
}

// Offset of a chunk's map in `ends`, [B, chunks, 2, w].
DEVICE size_t scan_end(const ScanInputs& in, const ScanSpan& p, int chunk, int which) {
    return ((static_cast<size_t>(p.sequence) * p.chunks + chunk) * 2 + which) * in.width + p.channel;
}

DEVICE void scan_step(const ScanInputs& in, const ScanChannel& c, int row, int channel, ScanGates (&g)[VEC], float (&x)[VEC]) {
    float g_in[VEC], g_forget[VEC];
    load(in.x, at(in.x, row, channel), x);
    load(in.gates, at(in.gates, row, in.width + channel), g_in);
    load(in.gates, at(in.gates, row, 2 * in.width + channel), g_forget);
#pragma unroll
    for (int n = 0; n < VEC; n++) g[n] = scan_gates(g_in[n] + c.bias_in[n], g_forget[n] + c.bias_forget[n], c.rate[n]);
}

KERNEL(scan_ends, 128, ScanInputs in, Tensor state, Tensor ends) {
    const ScanSpan p = scan_span(in);
    if (!p.inside) return;
    const ScanChannel c = scan_channel(in, p.channel);
    float h[VEC] = {}, whole[VEC], x[VEC];
    ScanGates g[VEC];
    if (p.chunk == 0 && present(state)) {
        load(state, at(state, p.sequence, p.channel), h);
        store(ends, scan_start(in, p), h);
    }
#pragma unroll
    for (int n = 0; n < VEC; n++) whole[n] = 1.0f;
    for (int t = p.from; t < p.to; t++) {
        scan_step(in, c, p.sequence * in.time + t, p.channel, g, x);
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            h[n] = g[n].decay * h[n] + g[n].scale * g[n].input * x[n];
            whole[n] *= g[n].decay;
        }
    }
    store(ends, scan_end(in, p, p.chunk, 0), whole);
    store(ends, scan_end(in, p, p.chunk, 1), h);
}

// `ends` is absent for a single chunk.
KERNEL(scan_forward, 128, ScanInputs in, Tensor ends, Tensor state, Tensor saved, Tensor y) {
    const ScanSpan p = scan_span(in);
    if (!p.inside) return;
    const ScanChannel c = scan_channel(in, p.channel);
    float h[VEC] = {}, whole[VEC], x[VEC], gate[VEC], skip[VEC];
    ScanGates g[VEC];
    load(in.skip, p.channel, skip);
    if (p.chunk == 0 && present(state)) {
        if (present(ends))
            load(ends, scan_start(in, p), h);
        else
            load(state, at(state, p.sequence, p.channel), h);
    }
    for (int chunk = 0; chunk < p.chunk; chunk++) {
        load(ends, scan_end(in, p, chunk, 0), whole);
        load(ends, scan_end(in, p, chunk, 1), x);
#pragma unroll
        for (int n = 0; n < VEC; n++) h[n] = whole[n] * h[n] + x[n];
    }
    for (int t = p.from; t < p.to; t++) {
        const int row = p.sequence * in.time + t;
        scan_step(in, c, row, p.channel, g, x);
        load(in.gates, at(in.gates, row, p.channel), gate);
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            h[n] = g[n].decay * h[n] + g[n].scale * g[n].input * x[n];
            gate[n] = (h[n] + skip[n] * x[n]) * silu(gate[n]);
        }
        store(y, at(y, row, p.channel), gate);
        if (present(saved)) store(saved, at(saved, row, p.channel), h);
    }
    if (present(state) && p.to == in.time) store(state, at(state, p.sequence, p.channel), h);
}

// η_t = e_t + a_{t+1} ∘ η_{t+1} with e_t = dy_t ∘ silu(gate_t). A chunk carries a ∘ η of its first
// position to the previous chunk: whole · (the value carried to it) + end.
KERNEL(scan_back_ends, 128, ScanInputs in, Tensor dy, Tensor ends) {
    const ScanSpan p = scan_span(in);
    if (!p.inside) return;
    const ScanChannel c = scan_channel(in, p.channel);
    float carried[VEC] = {}, whole[VEC], x[VEC], gate[VEC], d[VEC];
    ScanGates g[VEC];
#pragma unroll
    for (int n = 0; n < VEC; n++) whole[n] = 1.0f;
    for (int t = p.to - 1; t >= p.from; t--) {
        const int row = p.sequence * in.time + t;
        scan_step(in, c, row, p.channel, g, x);
        load(in.gates, at(in.gates, row, p.channel), gate);
        load(dy, at(dy, row, p.channel), d);
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            carried[n] = g[n].decay * (carried[n] + d[n] * silu(gate[n]));
            whole[n] *= g[n].decay;
        }
    }
    store(ends, scan_end(in, p, p.chunk, 0), whole);
    store(ends, scan_end(in, p, p.chunk, 1), carried);
}

// d log a = η ∘ (a ∘ h_{t−1} − gᵢ ∘ x ∘ a² / scale). Partial gradients of each chunk, [4, w]: g_in, g_forget, log_decay, skip.
KERNEL(scan_backward, 128, ScanInputs in, Tensor ends, Tensor saved, Tensor dy, Tensor dx, Tensor d_gates, Tensor partial) {
    const ScanSpan p = scan_span(in);
    if (!p.inside) return;
    const ScanChannel c = scan_channel(in, p.channel);
    float eta[VEC] = {}, whole[VEC], x[VEC], h[VEC], before[VEC], gate[VEC], d[VEC], skip[VEC];
    float d_in[VEC] = {}, d_forget[VEC] = {}, d_rate[VEC] = {}, d_skip[VEC] = {};
    ScanGates g[VEC];
    load(in.skip, p.channel, skip);
    for (int chunk = p.chunks - 1; chunk > p.chunk; chunk--) {
        load(ends, scan_end(in, p, chunk, 0), whole);
        load(ends, scan_end(in, p, chunk, 1), x);
#pragma unroll
        for (int n = 0; n < VEC; n++) eta[n] = whole[n] * eta[n] + x[n];
    }
    load(saved, at(saved, p.sequence * in.time + p.to - 1, p.channel), h);
    for (int t = p.to - 1; t >= p.from; t--) {
        const int row = p.sequence * in.time + t;
        scan_step(in, c, row, p.channel, g, x);
        load(in.gates, at(in.gates, row, p.channel), gate);
        load(dy, at(dy, row, p.channel), d);
        if (t > 0)
            load(saved, at(saved, row - 1, p.channel), before);
        else
            for (int n = 0; n < VEC; n++) before[n] = 0.0f;
        float dp_in[VEC], dp_forget[VEC];
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            const float s = sigmoid(gate[n]), e = d[n] * gate[n] * s;
            gate[n] = d[n] * (h[n] + skip[n] * x[n]) * s * (1.0f + gate[n] * (1.0f - s));
            eta[n] += e;
            const float d_log = eta[n] * (g[n].decay * before[n] - g[n].input * x[n] * g[n].decay * g[n].decay * reciprocal(g[n].scale));
            dp_in[n] = eta[n] * g[n].scale * x[n] * g[n].input * (1.0f - g[n].input);
            dp_forget[n] = d_log * c.rate[n] * g[n].forget * (1.0f - g[n].forget);
            d_skip[n] += e * x[n];
            d_rate[n] += d_log * g[n].forget;
            d_in[n] += dp_in[n];
            d_forget[n] += dp_forget[n];
            x[n] = e * skip[n] + eta[n] * g[n].scale * g[n].input;
            eta[n] *= g[n].decay;
            h[n] = before[n];
        }
        store(dx, at(dx, row, p.channel), x);
        store(d_gates, at(d_gates, row, p.channel), gate);
        store(d_gates, at(d_gates, row, in.width + p.channel), dp_in);
        store(d_gates, at(d_gates, row, 2 * in.width + p.channel), dp_forget);
    }
    // ∂(−8 softplus(Λ)) = −8 σ(Λ)
    float decay[VEC];
    load(in.log_decay, p.channel, decay);
#pragma unroll
    for (int n = 0; n < VEC; n++) d_rate[n] *= -8.0f * sigmoid(decay[n]);
    const int row = (p.sequence * p.chunks + p.chunk) * 4;
    store(partial, at(partial, row, p.channel), d_in);
    store(partial, at(partial, row + 1, p.channel), d_forget);
    store(partial, at(partial, row + 2, p.channel), d_rate);
    store(partial, at(partial, row + 3, p.channel), d_skip);
}
