// The optimiser. Sum of squares: bytes of the gradient once. AdamW: bytes of five tensors read and written, 40 a weight in f32;
// about 20 operations a weight.
#include "common.cuh"

// partial[block] = Σ x² of the block's share.
KERNEL(sum_squares, 256, Tensor x, size_t count, float* partial) {
    SHARED(float, sums, 8);
    float sum = 0.0f;
    for (size_t i = thread() * LANES; i < count; i += static_cast<size_t>(gridDim.x) * blockDim.x * LANES) {
        float v[LANES];
        load(x, i, v);
#pragma unroll
        for (int n = 0; n < LANES; n++) sum += v[n] * v[n];
    }
    sum = warp_sum(sum);
    if (lane() == 0) sums[warp()] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    sum = 0.0f;
    for (int w = 0; w < warps(); w++) sum += sums[w];
    partial[blockIdx.x] = sum;
}

struct Rates {
    float clip, beta1, beta2, eps, decay, rate;
};

// `schedule`: lr, 1 / (1 − β₁ᵗ), 1 / (1 − β₂ᵗ), ema_rate.
KERNEL(adamw, 256, Tensor schedule, Tensor total, Rates r, size_t count, Tensor weight, Tensor grad, Tensor first, Tensor second, Tensor ema) {
    const size_t i = thread() * LANES;
    if (i >= count) return;
    const float lr = r.rate * get(schedule, 0), first_scale = get(schedule, 1), second_scale = get(schedule, 2), ema_rate = get(schedule, 3);
    // Written so that a gradient without a norm (NaN, ∞) is not quietly clipped into a finite one.
    const float norm = sqrtf(get(total, 0)), scale = r.clip == 0.0f || norm <= r.clip ? 1.0f : r.clip / norm;
    float w[LANES], g[LANES], m[LANES], v[LANES], average[LANES];
    load(weight, i, w);
    load(grad, i, g);
    load(first, i, m);
    load(second, i, v);
    load(ema, i, average);
#pragma unroll
    for (int n = 0; n < LANES; n++) {
        const float slope = g[n] * scale;
        m[n] = r.beta1 * m[n] + (1.0f - r.beta1) * slope;
        v[n] = r.beta2 * v[n] + (1.0f - r.beta2) * slope * slope;
        w[n] -= lr * (m[n] * first_scale / (sqrtf(v[n] * second_scale) + r.eps) + r.decay * w[n]);
        average[n] += (1.0f - ema_rate) * (w[n] - average[n]);
        g[n] = 0.0f;
    }
    store(weight, i, w);
    store(grad, i, g);
    store(first, i, m);
    store(second, i, v);
    store(ema, i, average);
}
