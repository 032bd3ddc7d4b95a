// The optimiser, over all tensors of a model in one launch: a table holds their addresses, and blocks take chunks of elements.
// Sum of squares: bytes of the gradients once. AdamW: five tensors read and written, 40 bytes per weight in f32, and 2 for its
// bf16 copy; about 20 operations per weight.
#include "common.cuh"

// A tensor of the model; pointers that a kernel does not use are null.
struct Leaf {
    float* weight;
    float* grad;
    float* first;
    float* second;
    float* ema;
    // A bf16 copy of the weight for matrix products, or null.
    bf16* shadow;
    size_t count;
    // Index of its first chunk among the chunks of all tensors.
    int chunk;
    float decay, rate;
    int unused;
};

constexpr int CHUNK = 4096;
constexpr int ADJACENT = 4;

// The tensor that contains this chunk.
DEVICE Leaf leaf_of(const Leaf* leaves, int n, int chunk) {
    int low = 0, high = n;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        (leaves[middle].chunk <= chunk ? low : high) = middle;
    }
    return leaves[low];
}

// Loads `n` of four adjacent elements, padded with zeros.
DEVICE void load_partial(float* from, size_t i, int n, float (&to)[ADJACENT]) {
    if (n == ADJACENT) {
        load(Tensor{from, 0, 0}, i, to);
    } else {
#pragma unroll
        for (int k = 0; k < ADJACENT; k++) to[k] = k < n ? from[i + k] : 0.0f;
    }
}

template <class Element>
DEVICE void store_partial(Element* to, size_t i, int n, const float (&from)[ADJACENT]) {
    if (n == ADJACENT) {
        store(Tensor{to, sizeof(Element) == 2, 0}, i, from);
    } else {
#pragma unroll
        for (int k = 0; k < ADJACENT; k++)
            if (k < n) narrow(from[k], to[i + k]);
    }
}

// Σ of x over the block, valid in thread 0.
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
            load_partial(leaf.grad, i, static_cast<int>(min(end - i, size_t(ADJACENT))), g);
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

// One block per chunk. `schedule`: lr, 1 / (1 − β₁ᵗ), 1 / (1 − β₂ᵗ), ema_rate.
KERNEL(adamw, 256, Tensor schedule, Tensor total, Rates r, const Leaf* leaves, int n) {
    const Leaf leaf = leaf_of(leaves, n, blockIdx.x);
    const float lr = leaf.rate * get(schedule, 0), first_scale = get(schedule, 1), second_scale = get(schedule, 2), ema_rate = get(schedule, 3);
    // The comparison is false for a norm of NaN, so that a broken gradient is not clipped into a finite one.
    const float norm = sqrtf(get(total, 0)), scale = r.clip == 0.0f || norm <= r.clip ? 1.0f : r.clip / norm;
    const size_t start = static_cast<size_t>(blockIdx.x - leaf.chunk) * CHUNK, end = min(start + CHUNK, leaf.count);
    for (size_t i = start + ADJACENT * threadIdx.x; i < end; i += ADJACENT * blockDim.x) {
        const int here = static_cast<int>(min(end - i, size_t(ADJACENT)));
        float w[ADJACENT], g[ADJACENT], m[ADJACENT], v[ADJACENT], average[ADJACENT];
        load_partial(leaf.weight, i, here, w);
        load_partial(leaf.grad, i, here, g);
        load_partial(leaf.first, i, here, m);
        load_partial(leaf.second, i, here, v);
        load_partial(leaf.ema, i, here, average);
#pragma unroll
        for (int k = 0; k < ADJACENT; k++) {
            const float slope = g[k] * scale;
            m[k] = r.beta1 * m[k] + (1.0f - r.beta1) * slope;
            v[k] = r.beta2 * v[k] + (1.0f - r.beta2) * slope * slope;
            w[k] -= lr * (m[k] * first_scale / (sqrtf(v[k] * second_scale) + r.eps) + leaf.decay * w[k]);
            average[k] += (1.0f - ema_rate) * (w[k] - average[k]);
            g[k] = 0.0f;
        }
        store_partial(leaf.weight, i, here, w);
        if (leaf.shadow) store_partial(leaf.shadow, i, here, w);
        store_partial(leaf.grad, i, here, g);
        store_partial(leaf.first, i, here, m);
        store_partial(leaf.second, i, here, v);
        store_partial(leaf.ema, i, here, average);
    }
}
