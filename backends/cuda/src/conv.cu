// Causal depthwise convolution with silu. A thread walks through CONV_CHUNK positions of LANES channels, and keeps the last inputs
// and the weights of its taps in registers: of four taps at most, or, a channel a thread, of sixteen.
//
// Bytes forward: x and y once; backward: x and dy once, and dx. Operations: 2k + 4 a number, 6k + 8 backward.
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

// The input of position t, from the state (oldest first) where that lies before the chunk; zeros where there is none.
DEVICE void conv_input(const Tensor& x, const Tensor& state, int sequence, int t, int time, int kept, int channel, float (&v)[LANES]) {
    if (t >= 0)
        load(x, at(x, sequence * time + t, channel), v);
    else if (present(state) && t >= -kept)
        load(state, at(state, sequence * kept + kept + t, channel), v);
    else
        for (int n = 0; n < LANES; n++) v[n] = 0.0f;
}

// The newest of a row of K goes behind the others.
template <int K>
DEVICE void conv_shift(float (&row)[K][LANES], const float (&newest)[LANES]) {
#pragma unroll
    for (int n = 0; n < LANES; n++) {
#pragma unroll
        for (int i = 0; i + 1 < K; i++) row[i][n] = row[i + 1][n];
        row[K - 1][n] = newest[n];
    }
}

// The K positions that a sum sees, oldest first; taps that there are not have a weight of zero.
template <int K>
struct ConvTaps {
    float weight[K][LANES], input[K][LANES], bias[LANES];

    // Before position `from`.
    __device__ __forceinline__ ConvTaps(const Tensor& x, const Tensor& state, const Tensor& weights, const Tensor& biases, const ConvPlace& p, int time,
                                        int taps) {
        load(biases, p.channel, bias);
#pragma unroll
        for (int i = 0; i < K; i++) {
            const int tap = i - K + taps;
#pragma unroll
            for (int n = 0; n < LANES; n++) weight[i][n] = tap >= 0 ? get(weights, static_cast<size_t>(p.channel + n) * taps + tap) : 0.0f;
            conv_input(x, state, p.sequence, p.from - K + i, time, taps - 1, p.channel, input[i]);
        }
    }
    __device__ __forceinline__ void sum(float (&s)[LANES]) const {
#pragma unroll
        for (int n = 0; n < LANES; n++) {
            s[n] = bias[n];
#pragma unroll
            for (int i = 0; i < K; i++) s[n] += weight[i][n] * input[i][n];
        }
    }
};

template <int K>
DEVICE void conv_walk(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state, const ConvPlace& p, int time, int taps,
                      const Tensor& y) {
    ConvTaps<K> of(x, state, weight, bias, p, time, taps);
    for (int t = p.from; t < p.to; t++) {
        const int row = p.sequence * time + t;
        float v[LANES];
        load(x, at(x, row, p.channel), v);
        conv_shift(of.input, v);
        of.sum(v);
#pragma unroll
        for (int n = 0; n < LANES; n++) v[n] = silu(v[n]);
        store(y, at(y, row, p.channel), v);
    }
}

KERNEL(conv_forward, 128, Tensor x, Tensor weight, Tensor bias, Tensor state, int batch, int time, int width, int taps, Tensor y) {
    const ConvPlace p = conv_place(batch, time, width);
    if (!p.inside) return;
    if (LANES > 1 || taps <= 4)
        conv_walk<4>(x, weight, bias, state, p, time, taps, y);
    else
        conv_walk<16>(x, weight, bias, state, p, time, taps, y);
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

// delta_t = dy_t ∘ silu'(the sum before silu), dx_t = Σ_age w[age] ∘ delta_{t+age}: so a thread goes on for K − 1 positions behind its
// own. `mine`: its chunk's part of the parameters' gradients.
template <int K>
DEVICE void conv_walk_back(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvPlace& p, int time, int width, int taps,
                           const Tensor& dy, const Tensor& dx, float* mine) {
    ConvTaps<K> of(x, Tensor{}, weight, bias, p, time, taps);
    // The last K of delta, oldest first.
    float delta[K][LANES] = {}, d_weight[K][LANES] = {}, d_bias[LANES] = {};
    for (int t = p.from; t < p.to + K - 1; t++) {
        const int row = p.sequence * time + t;
        float d[LANES] = {};
        if (t < time) {
            float v[LANES];
            load(x, at(x, row, p.channel), v);
            load(dy, at(dy, row, p.channel), d);
            conv_shift(of.input, v);
            of.sum(v);
#pragma unroll
            for (int n = 0; n < LANES; n++) d[n] *= silu_grad(v[n]);
        }
        conv_shift(delta, d);
        if (t < p.to) {
#pragma unroll
            for (int n = 0; n < LANES; n++) {
                d_bias[n] += d[n];
#pragma unroll
                for (int i = 0; i < K; i++) d_weight[i][n] += d[n] * of.input[i][n];
            }
        }
        if (t - K + 1 < p.from) continue;
#pragma unroll
        for (int n = 0; n < LANES; n++) {
            d[n] = 0.0f;
#pragma unroll
            for (int age = 0; age < K; age++) d[n] += of.weight[K - 1 - age][n] * delta[age][n];
        }
        store(dx, at(dx, row - K + 1, p.channel), d);
    }
#pragma unroll
    for (int n = 0; n < LANES; n++) {
#pragma unroll
        for (int i = 0; i < K; i++)
            if (i - K + taps >= 0) mine[static_cast<size_t>(p.channel + n) * taps + i - K + taps] = d_weight[i][n];
        mine[static_cast<size_t>(width) * taps + p.channel + n] = d_bias[n];
    }
}

// The partial of each sequence's chunk is [w, k] of the weight, then [w] of the bias.
KERNEL(conv_backward, 128, Tensor x, Tensor weight, Tensor bias, int batch, int time, int width, int taps, Tensor dy, Tensor dx, float* partial) {
    const ConvPlace p = conv_place(batch, time, width);
    if (!p.inside) return;
    const int chunks = (time + CONV_CHUNK - 1) / CONV_CHUNK;
    float* mine = partial + (static_cast<size_t>(p.sequence) * chunks + p.from / CONV_CHUNK) * width * (taps + 1);
    if (LANES > 1 || taps <= 4)
        conv_walk_back<4>(x, weight, bias, p, time, width, taps, dy, dx, mine);
    else
        conv_walk_back<16>(x, weight, bias, p, time, width, taps, dy, dx, mine);
}
