// Causal depthwise convolution with silu. A thread processes CONV_CHUNK positions of VEC channels, and keeps the last inputs
// and the weights of its taps in registers: at most four taps, or sixteen with VEC 1.
//
// Bytes forward: x and y once; backward: x and dy once, and dx. Operations: 2k + 4 per element, 6k + 8 backward.
#include "common.cuh"

constexpr int CONV_CHUNK = 32;

// The positions and channels of a thread: sequence, first and end position, first channel.
struct ConvSpan {
    int sequence, from, to, channel;
    bool inside;
};

DEVICE ConvSpan conv_span(int batch, int time, int width) {
    const int groups = width / VEC, chunks = (time + CONV_CHUNK - 1) / CONV_CHUNK;
    const size_t i = thread();
    const int chunk = i / groups % chunks, sequence = i / groups / chunks;
    return {sequence, chunk * CONV_CHUNK, min((chunk + 1) * CONV_CHUNK, time), static_cast<int>(i % groups) * VEC, sequence < batch};
}

// The input of position t, from the state (oldest first) if t is negative; zeros without a state.
DEVICE void conv_input(const Tensor& x, const Tensor& state, int sequence, int t, int time, int kept, int channel, float (&v)[VEC]) {
    if (t >= 0)
        load(x, at(x, sequence * time + t, channel), v);
    else if (present(state) && t >= -kept)
        load(state, at(state, sequence * kept + kept + t, channel), v);
    else
        for (int n = 0; n < VEC; n++) v[n] = 0.0f;
}

// Shifts a window of K inputs and appends the newest.
template <int K>
DEVICE void conv_shift(float (&row)[K][VEC], const float (&newest)[VEC]) {
#pragma unroll
    for (int n = 0; n < VEC; n++) {
#pragma unroll
        for (int i = 0; i + 1 < K; i++) row[i][n] = row[i + 1][n];
        row[K - 1][n] = newest[n];
    }
}

// The K positions of a sum, oldest first; unused taps have weight zero.
template <int K>
struct ConvTaps {
    float weight[K][VEC], input[K][VEC], bias[VEC];

    // The state before position `from`.
    __device__ __forceinline__ ConvTaps(const Tensor& x, const Tensor& state, const Tensor& weights, const Tensor& biases, const ConvSpan& p, int time,
                                        int taps) {
        load(biases, p.channel, bias);
#pragma unroll
        for (int i = 0; i < K; i++) {
            const int tap = i - K + taps;
#pragma unroll
            for (int n = 0; n < VEC; n++) weight[i][n] = tap >= 0 ? get(weights, static_cast<size_t>(p.channel + n) * taps + tap) : 0.0f;
            conv_input(x, state, p.sequence, p.from - K + i, time, taps - 1, p.channel, input[i]);
        }
    }
    __device__ __forceinline__ void sum(float (&s)[VEC]) const {
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            s[n] = bias[n];
#pragma unroll
            for (int i = 0; i < K; i++) s[n] += weight[i][n] * input[i][n];
        }
    }
};

template <int K>
DEVICE void conv_span_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state, const ConvSpan& p, int time, int taps,
                      const Tensor& y) {
    ConvTaps<K> of(x, state, weight, bias, p, time, taps);
    for (int t = p.from; t < p.to; t++) {
        const int row = p.sequence * time + t;
        float v[VEC];
        load(x, at(x, row, p.channel), v);
        conv_shift(of.input, v);
        of.sum(v);
#pragma unroll
        for (int n = 0; n < VEC; n++) v[n] = silu(v[n]);
        store(y, at(y, row, p.channel), v);
    }
}

KERNEL(conv_forward, 128, Tensor x, Tensor weight, Tensor bias, Tensor state, int batch, int time, int width, int taps, Tensor y) {
    const ConvSpan p = conv_span(batch, time, width);
    if (!p.inside) return;
    if (VEC > 1 || taps <= 4)
        conv_span_forward<4>(x, weight, bias, state, p, time, taps, y);
    else
        conv_span_forward<16>(x, weight, bias, state, p, time, taps, y);
}

// The last k − 1 rows of the old state followed by the chunk; oldest first, so that no row is overwritten before it was copied.
KERNEL(conv_update_state, 128, Tensor x, int batch, int time, int width, int taps, Tensor state) {
    const size_t i = thread() * VEC;
    const int sequence = i / width, channel = i % width, kept = taps - 1;
    if (sequence >= batch) return;
    for (int row = 0; row < kept; row++) {
        float v[VEC];
        conv_input(x, state, sequence, row + time - kept, time, kept, channel, v);
        store(state, at(state, sequence * kept + row, channel), v);
    }
}

// delta_t = dy_t ∘ silu'(the sum before silu), dx_t = Σ_age w[age] ∘ delta_{t+age}: a thread continues for K − 1 positions after
// its own. `mine`: its chunk's partial gradients of the parameters.
template <int K>
DEVICE void conv_span_backward(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvSpan& p, int time, int width, int taps,
                           const Tensor& dy, const Tensor& dx, float* mine) {
    ConvTaps<K> of(x, Tensor{}, weight, bias, p, time, taps);
    // The last K values of delta, oldest first.
    float delta[K][VEC] = {}, d_weight[K][VEC] = {}, d_bias[VEC] = {};
    for (int t = p.from; t < p.to + K - 1; t++) {
        const int row = p.sequence * time + t;
        float d[VEC] = {};
        if (t < time) {
            float v[VEC];
            load(x, at(x, row, p.channel), v);
            load(dy, at(dy, row, p.channel), d);
            conv_shift(of.input, v);
            of.sum(v);
#pragma unroll
            for (int n = 0; n < VEC; n++) d[n] *= silu_grad(v[n]);
        }
        conv_shift(delta, d);
        if (t < p.to) {
#pragma unroll
            for (int n = 0; n < VEC; n++) {
                d_bias[n] += d[n];
#pragma unroll
                for (int i = 0; i < K; i++) d_weight[i][n] += d[n] * of.input[i][n];
            }
        }
        if (t - K + 1 < p.from) continue;
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            d[n] = 0.0f;
#pragma unroll
            for (int age = 0; age < K; age++) d[n] += of.weight[K - 1 - age][n] * delta[age][n];
        }
        store(dx, at(dx, row - K + 1, p.channel), d);
    }
#pragma unroll
    for (int n = 0; n < VEC; n++) {
#pragma unroll
        for (int i = 0; i < K; i++)
            if (i - K + taps >= 0) mine[static_cast<size_t>(p.channel + n) * taps + i - K + taps] = d_weight[i][n];
        mine[static_cast<size_t>(width) * taps + p.channel + n] = d_bias[n];
    }
}

// The partial gradients of each chunk are [w, k] of the weight, then [w] of the bias.
KERNEL(conv_backward, 128, Tensor x, Tensor weight, Tensor bias, int batch, int time, int width, int taps, Tensor dy, Tensor dx, float* partial) {
    const ConvSpan p = conv_span(batch, time, width);
    if (!p.inside) return;
    const int chunks = (time + CONV_CHUNK - 1) / CONV_CHUNK;
    float* mine = partial + (static_cast<size_t>(p.sequence) * chunks + p.from / CONV_CHUNK) * width * (taps + 1);
    if (VEC > 1 || taps <= 4)
        conv_span_backward<4>(x, weight, bias, p, time, width, taps, dy, dx, mine);
    else
        conv_span_backward<16>(x, weight, bias, p, time, width, taps, dy, dx, mine);
}
