// The optimiser, over all tensors of a model at once: a table says where they lie, and a chunk of numbers after the other is dealt
// to the blocks. Sum of squares: bytes of the gradients once. AdamW: bytes of five tensors read and written, 40 a weight in f32,
// and 2 of its copy in bf16; about 20 operations a weight.
#include "common.cuh"

// A tensor of the model; those that a kernel does not touch are null.
struct Leaf {
    float* weight;
    float* grad;
    float* first;
    float* second;
    float* ema;
    // The weight once more, for products.
    bf16* shadow;
    size_t count;
    // Number of its first chunk among those of all tensors.
    int chunk;
    float decay, rate;
    int unused;
};

constexpr int CHUNK = 4096;
constexpr int ADJACENT = 4;

// The tensor that has this chunk.
DEVICE Leaf leaf_of(const Leaf* leaves, int n, int chunk) {
    int low = 0, high = n;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        (leaves[middle].chunk <= chunk ? low : high) = middle;
    }
    return leaves[low];
}

// Up to four adjacent numbers; zeros in place of those behind the end.
DEVICE void load_some(float* from, size_t i, int n, float (&to)[ADJACENT]) {
    if (n == ADJACENT) {
        load(Tensor{from, 0, 0}, i, to);
    } else {
#pragma unroll
        for (int k = 0; k < ADJACENT; k++) to[k] = k < n ? from[i + k] : 0.0f;
    }
}

template <class Number>
DEVICE void store_some(Number* to, size_t i, int n, const float (&from)[ADJACENT]) {
    if (n == ADJACENT) {
        store(Tensor{to, sizeof(Number) == 2, 0}, i, from);
    } else {
#pragma unroll
        for (int k = 0; k < ADJACENT; k++)
            if (k < n) narrow(from[k], to[i + k]);
    }
}

// Σ of x over the block, which thread 0 has.
DEVICE float block_sum(float x, float* sums) {
    x = warp_sum(x);
    if (lane() == 0) sums[warp()] = x;
    __syncthreads();
    x = 0.0f;
    if (threadIdx.x == 0)
        for (int w = 0; w < warps(); w++) x += sums[w];
    return x;
}

// partial[block] = Σ g² over the block's chunks.
KERNEL(sum_squares, 256, const Leaf* leaves, int n, int chunks, float* partial) {
    SHARED(float, sums, 8);
    float sum = 0.0f;
    for (int chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        const Leaf leaf = leaf_of(leaves, n, chunk);
        const size_t start = static_cast<size_t>(chunk - leaf.chunk) * CHUNK, end = min(start + CHUNK, leaf.count);
        for (size_t i = start + ADJACENT * threadIdx.x; i < end; i += ADJACENT * blockDim.x) {
            float g[ADJACENT];
            load_some(leaf.grad, i, static_cast<int>(min(end - i, size_t(ADJACENT))), g);
#pragma unroll
            for (int k = 0; k < ADJACENT; k++) sum += g[k] * g[k];
        }
    }
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// total = Σ of the partial sums, in one block.
KERNEL(sum_partials, 256, const float* partial, int n, Tensor total) {
    SHARED(float, sums, 8);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) put(total, 0, sum);
}

struct Rates {
    float clip, beta1, beta2, eps;
};

// A chunk a block. `schedule`: lr, 1 / (1 − β₁ᵗ), 1 / (1 − β₂ᵗ), ema_rate.
KERNEL(adamw, 256, Tensor schedule, Tensor total, Rates r, const Leaf* leaves, int n) {
    const Leaf leaf = leaf_of(leaves, n, blockIdx.x);
    const float lr = leaf.rate * get(schedule, 0), first_scale = get(schedule, 1), second_scale = get(schedule, 2), ema_rate = get(schedule, 3);
    // Written so that a gradient without a norm (NaN, ∞) is not quietly clipped into a finite one.
    const float norm = sqrtf(get(total, 0)), scale = r.clip == 0.0f || norm <= r.clip ? 1.0f : r.clip / norm;
    const size_t start = static_cast<size_t>(blockIdx.x - leaf.chunk) * CHUNK, end = min(start + CHUNK, leaf.count);
    for (size_t i = start + ADJACENT * threadIdx.x; i < end; i += ADJACENT * blockDim.x) {
        const int here = static_cast<int>(min(end - i, size_t(ADJACENT)));
        float w[ADJACENT], g[ADJACENT], m[ADJACENT], v[ADJACENT], average[ADJACENT];
        load_some(leaf.weight, i, here, w);
        load_some(leaf.grad, i, here, g);
        load_some(leaf.first, i, here, m);
        load_some(leaf.second, i, here, v);
        load_some(leaf.ema, i, here, average);
#pragma unroll
        for (int k = 0; k < ADJACENT; k++) {
            const float slope = g[k] * scale;
            m[k] = r.beta1 * m[k] + (1.0f - r.beta1) * slope;
            v[k] = r.beta2 * v[k] + (1.0f - r.beta2) * slope * slope;
            w[k] -= lr * (m[k] * first_scale / (sqrtf(v[k] * second_scale) + r.eps) + leaf.decay * w[k]);
            average[k] += (1.0f - ema_rate) * (w[k] - average[k]);
            g[k] = 0.0f;
        }
        store_some(leaf.weight, i, here, w);
        if (leaf.shadow) store_some(leaf.shadow, i, here, w);
        store_some(leaf.grad, i, here, g);
        store_some(leaf.first, i, here, m);
        store_some(leaf.second, i, here, v);
        store_some(leaf.ema, i, here, average);
    }
}
