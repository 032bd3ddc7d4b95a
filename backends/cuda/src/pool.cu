// The controller's moving average, chunked over time as the scan: m_t = a ∘ m_{t−1} + (1 − a) ∘ silu(x_t), a = σ(decay).
// Bytes: x twice and y once (backward: dy twice, x, y and dx); 8 operations per element.
#include "common.cuh"

constexpr int POOL_CHUNK = 32;

struct PoolSpan {
    int sequence, chunk, chunks, from, to, channel;
    bool inside;
};

DEVICE PoolSpan pool_span(int batch, int time, int width) {
    const int groups = width / VEC, chunks = (time + POOL_CHUNK - 1) / POOL_CHUNK;
    const size_t i = thread();
    const int chunk = i / groups % chunks, sequence = i / groups / chunks;
    const int to = min((chunk + 1) * POOL_CHUNK, time);
    return {sequence, chunk, chunks, chunk * POOL_CHUNK, to, static_cast<int>(i % groups) * VEC, sequence < batch};
}

DEVICE size_t pool_end(const PoolSpan& p, int chunk, int width) {
    return (static_cast<size_t>(p.sequence) * p.chunks + chunk) * width + p.channel;
}

// Offset in `ends` of the initial state, after all chunks, as in the scan.
DEVICE size_t pool_start(const PoolSpan& p, int batch, int width) {
    return (static_cast<size_t>(batch) * p.chunks + p.sequence) * width + p.channel;
}

DEVICE void pool_rates(const Tensor& decay, int channel, float (&a)[VEC]) {
    load(decay, channel, a);
#pragma unroll
    for (int n = 0; n < VEC; n++) a[n] = sigmoid(a[n]);
}

// Folds the ends of `count` chunks into m, starting at `chunk` with step `step`. All have POOL_CHUNK positions except the last of
// a sequence, which can only be the first of them; m is then still zero.
DEVICE void pool_fold(const Tensor& ends, const PoolSpan& p, const float (&a)[VEC], int chunk, int step, int count, int width, float (&m)[VEC]) {
    float whole[VEC];
#pragma unroll
    for (int n = 0; n < VEC; n++) {
        whole[n] = a[n];
#pragma unroll
        for (int length = 1; length < POOL_CHUNK; length *= 2) whole[n] *= whole[n];
    }
    for (; count > 0; count--, chunk += step) {
        float end[VEC];
        load(ends, pool_end(p, chunk, width), end);
#pragma unroll
        for (int n = 0; n < VEC; n++) m[n] = whole[n] * m[n] + end[n];
    }
}

KERNEL(pool_ends, 128, Tensor x, Tensor decay, Tensor state, int batch, int time, int width, Tensor ends) {
    const PoolSpan p = pool_span(batch, time, width);
    if (!p.inside) return;
    float a[VEC], m[VEC] = {}, v[VEC];
    pool_rates(decay, p.channel, a);
    if (p.chunk == 0 && present(state)) {
        load(state, at(state, p.sequence, p.channel), m);
        store(ends, pool_start(p, batch, width), m);
    }
    for (int t = p.from; t < p.to; t++) {
        load(x, at(x, p.sequence * time + t, p.channel), v);
#pragma unroll
        for (int n = 0; n < VEC; n++) m[n] = a[n] * m[n] + (1.0f - a[n]) * silu(v[n]);
    }
    store(ends, pool_end(p, p.chunk, width), m);
}

// `ends` is absent for a single chunk.
KERNEL(pool_forward, 128, Tensor x, Tensor decay, Tensor ends, Tensor state, int batch, int time, int width, Tensor y) {
    const PoolSpan p = pool_span(batch, time, width);
    if (!p.inside) return;
    float a[VEC], m[VEC] = {}, v[VEC];
    pool_rates(decay, p.channel, a);
    if (p.chunk == 0 && present(state)) {
        if (present(ends))
            load(ends, pool_start(p, batch, width), m);
        else
            load(state, at(state, p.sequence, p.channel), m);
    }
    pool_fold(ends, p, a, 0, 1, p.chunk, width, m);
    for (int t = p.from; t < p.to; t++) {
        load(x, at(x, p.sequence * time + t, p.channel), v);
#pragma unroll
        for (int n = 0; n < VEC; n++) m[n] = a[n] * m[n] + (1.0f - a[n]) * silu(v[n]);
        store(y, at(y, p.sequence * time + t, p.channel), m);
    }
    if (present(state) && p.to == time) store(state, at(state, p.sequence, p.channel), m);
}

// μ_t = dy_t + a ∘ μ_{t+1}; a chunk carries a ∘ μ of its first position to the previous chunk.
KERNEL(pool_back_ends, 128, Tensor dy, Tensor decay, int batch, int time, int width, Tensor ends) {
    const PoolSpan p = pool_span(batch, time, width);
    if (!p.inside) return;
    float a[VEC], carried[VEC] = {}, d[VEC];
    pool_rates(decay, p.channel, a);
    for (int t = p.to - 1; t >= p.from; t--) {
        load(dy, at(dy, p.sequence * time + t, p.channel), d);
#pragma unroll
        for (int n = 0; n < VEC; n++) carried[n] = a[n] * (d[n] + carried[n]);
    }
    store(ends, pool_end(p, p.chunk, width), carried);
}

// dx = (1 − a) ∘ μ ∘ silu'(x); the partial gradient of each chunk is Σ μ_t ∘ (m_{t−1} − silu(x_t)) ∘ a ∘ (1 − a).
KERNEL(pool_backward, 128, Tensor x, Tensor decay, Tensor ends, Tensor y, Tensor dy, int batch, int time, int width, Tensor dx, Tensor partial) {
    const PoolSpan p = pool_span(batch, time, width);
    if (!p.inside) return;
    float a[VEC], mu[VEC] = {}, v[VEC], d[VEC], before[VEC], da[VEC] = {};
    pool_rates(decay, p.channel, a);
    pool_fold(ends, p, a, p.chunks - 1, -1, p.chunks - 1 - p.chunk, width, mu);
    for (int t = p.to - 1; t >= p.from; t--) {
        const int row = p.sequence * time + t;
        load(x, at(x, row, p.channel), v);
        load(dy, at(dy, row, p.channel), d);
        if (t > 0)
            load(y, at(y, row - 1, p.channel), before);
        else
            for (int n = 0; n < VEC; n++) before[n] = 0.0f;
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            mu[n] += d[n];
            da[n] += mu[n] * (before[n] - silu(v[n]));
            v[n] = (1.0f - a[n]) * mu[n] * silu_grad(v[n]);
            mu[n] *= a[n];
        }
        store(dx, at(dx, row, p.channel), v);
    }
#pragma unroll
    for (int n = 0; n < VEC; n++) da[n] *= a[n] * (1.0f - a[n]);
    store(partial, at(partial, p.sequence * p.chunks + p.chunk, p.channel), da);
}
