// Causal depthwise convolution with silu. A thread walks through CHUNK positions of LANES channels.
#include "common.cuh"

constexpr int CONV_CHUNK = 32;

// Where a thread stands: sequence, first position, first channel.
struct ConvPlace {
    int sequence, from, to, channel;
    bool inside;
};

DEVICE ConvPlace conv_place(int batch, int time, int width) {
    const int groups = width / LANES, chunks = (time + CONV_CHUNK - 1) / CONV_CHUNK;
    const size_t i = thread();
    const int chunk = i / groups % chunks, sequence = i / groups / chunks;
    return {sequence, chunk * CONV_CHUNK, min((chunk + 1) * CONV_CHUNK, time), static_cast<int>(i % groups) * LANES, sequence < batch};
}

// The input of position t, from the state (oldest first) where that lies before the chunk; zeros without one.
DEVICE void conv_input(const Tensor& x, const Tensor& state, int sequence, int t, int time, int kept, int channel, float (&v)[LANES]) {
    if (t >= 0)
        load(x, at(x, sequence * time + t, channel), v);
    else if (present(state))
        load(state, at(state, sequence * kept + kept + t, channel), v);
    else
        for (int n = 0; n < LANES; n++) v[n] = 0.0f;
}

DEVICE void conv_sum(const Tensor& x, const Tensor& state, const Tensor& weight, const Tensor& bias, const ConvPlace& p, int t, int time,
                     int taps, float (&sum)[LANES]) {
    load(bias, p.channel, sum);
    for (int i = 0; i < taps; i++) {
        float v[LANES];
        conv_input(x, state, p.sequence, t - taps + 1 + i, time, taps - 1, p.channel, v);
#pragma unroll
        for (int n = 0; n < LANES; n++) sum[n] += get(weight, static_cast<size_t>(p.channel + n) * taps + i) * v[n];
    }
}

// Bytes: x and y once (the taps find x in L1); 2k + 4 operations a number.
KERNEL(conv_forward, 128, Tensor x, Tensor weight, Tensor bias, Tensor state, int batch, int time, int width, int taps, Tensor y) {
    const ConvPlace p = conv_place(batch, time, width);
    if (!p.inside) return;
    for (int t = p.from; t < p.to; t++) {
        float sum[LANES];
        conv_sum(x, state, weight, bias, p, t, time, taps, sum);
#pragma unroll
        for (int n = 0; n < LANES; n++) sum[n] = silu(sum[n]);
        store(y, at(y, p.sequence * time + t, p.channel), sum);
    }
}

// The last k − 1 of what was remembered, followed by the chunk; oldest first, so that no row is overwritten before it has moved.
KERNEL(conv_remember, 128, Tensor x, int batch, int time, int width, int taps, Tensor state) {
    const size_t i = thread() * LANES;
    const int sequence = i / width, channel = i % width, kept = taps - 1;
    if (sequence >= batch) return;
    for (int row = 0; row < kept; row++) {
        float v[LANES];
        conv_input(x, state, sequence, row + time - kept, time, kept, channel, v);
        store(state, at(state, sequence * kept + row, channel), v);
    }
}

// delta_t = dy_t ∘ silu'(the sum before silu), f32.
KERNEL(conv_slopes, 128, Tensor x, Tensor weight, Tensor bias, int batch, int time, int width, int taps, Tensor dy, Tensor delta) {
    const ConvPlace p = conv_place(batch, time, width);
    if (!p.inside) return;
    for (int t = p.from; t < p.to; t++) {
        float sum[LANES], d[LANES];
        conv_sum(x, Tensor{}, weight, bias, p, t, time, taps, sum);
        load(dy, at(dy, p.sequence * time + t, p.channel), d);
#pragma unroll
        for (int n = 0; n < LANES; n++) d[n] *= silu_grad(sum[n]);
        store(delta, at(delta, p.sequence * time + t, p.channel), d);
    }
}

// dx_t = Σ_age w[age] ∘ delta_{t+age}; the partial of each sequence's chunk is [w, k] of the weight, then [w] of the bias.
// Bytes of both: x twice, dy, dx and delta (f32) twice; 6k operations a number.
KERNEL(conv_backward, 128, Tensor x, Tensor weight, int batch, int time, int width, int taps, Tensor delta, Tensor dx, float* partial) {
    const ConvPlace p = conv_place(batch, time, width);
    if (!p.inside) return;
    const int chunks = (time + CONV_CHUNK - 1) / CONV_CHUNK, row = p.sequence * time;
    float* mine = partial + (static_cast<size_t>(p.sequence) * chunks + p.from / CONV_CHUNK) * width * (taps + 1);
    float d[LANES], v[LANES];
    for (int t = p.from; t < p.to; t++) {
        float sum[LANES] = {};
        for (int age = 0; age < taps && t + age < time; age++) {
            load(delta, at(delta, row + t + age, p.channel), d);
#pragma unroll
            for (int n = 0; n < LANES; n++) sum[n] += get(weight, static_cast<size_t>(p.channel + n) * taps + taps - 1 - age) * d[n];
        }
        store(dx, at(dx, row + t, p.channel), sum);
    }
    for (int age = -1; age < taps; age++) {
        float sum[LANES] = {};
        for (int t = p.from; t < p.to; t++) {
            if (t < age) continue;
            load(delta, at(delta, row + t, p.channel), d);
            if (age >= 0) load(x, at(x, row + t - age, p.channel), v);
#pragma unroll
            for (int n = 0; n < LANES; n++) sum[n] += age >= 0 ? d[n] * v[n] : d[n];
        }
#pragma unroll
        for (int n = 0; n < LANES; n++)
            mine[age >= 0 ? static_cast<size_t>(p.channel + n) * taps + taps - 1 - age : static_cast<size_t>(width) * taps + p.channel + n] = sum[n];
    }
}
