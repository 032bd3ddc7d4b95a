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

// A matrix that Muon orthogonalises, within the matrices that it is packed into: pointers to its first element.
struct Part {
    float* weight;
    float* grad;
    float* momentum;
    float* ema;
    bf16* shadow;
    // Elements from one row of the whole to the next.
    int stride;
    int rows, columns;
    float rate, decay;
    // max(1, rows / columns)^½
    float scale;

    // Index of element `i` of the part in the whole, and in the factor X, whose rows are the columns of a part that is tall.
    __device__ size_t whole(size_t i) const { return i / columns * stride + i % columns; }
    __device__ size_t factor(size_t i) const { return rows > columns ? i % columns * rows + i / columns : i; }
};

// Moves the momentum, and writes the update to `x`, part after part, and Σ x² of each block. Bytes: the gradient and the momentum
// read and written, the update written. The grid: some blocks for each of the parts, all of `count` elements.
KERNEL(muon_momentum, 256, Tensor total, float clip, float momentum, const Part* parts, int count, float* x, float* partial) {
    SHARED(float, sums, 8);
    const Part part = parts[blockIdx.y];
    const float norm = sqrtf(get(total, 0)), scale = clip == 0.0f || norm <= clip ? 1.0f : clip / norm;
    x += static_cast<size_t>(blockIdx.y) * count;
    float sum = 0.0f;
    for (size_t i = thread(); i < static_cast<size_t>(count); i += gridDim.x * blockDim.x) {
        const size_t at = part.whole(i);
        const float slope = part.grad[at] * scale, m = momentum * part.momentum[at] + (1.0f - momentum) * slope;
        const float update = momentum * m + (1.0f - momentum) * slope;
        part.momentum[at] = m;
        part.grad[at] = 0.0f;
        x[part.factor(i)] = update;
        sum += update * update;
    }
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) partial[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// to = x / max(|x|, eps) of each part, whose Σ x² is in `blocks` partial sums.
KERNEL(muon_normalise, 256, const float* partial, int blocks, float eps, const float* x, int count, Tensor to) {
    float sum = 0.0f;
    for (int i = 0; i < blocks; i++) sum += partial[blockIdx.y * blocks + i];
    const float norm = sqrtf(sum), scale = 1.0f / (norm < eps ? eps : norm);
    const size_t start = static_cast<size_t>(blockIdx.y) * count;
    for (size_t i = thread(); i < static_cast<size_t>(count); i += gridDim.x * blockDim.x) put(to, start + i, x[start + i] * scale);
}

// q = a + b A + c q of each part, where q comes as A².
KERNEL(muon_polynomial, 256, float a, float b, float c, Tensor square, int n, Tensor q) {
    const size_t count = static_cast<size_t>(n) * n, start = blockIdx.y * count;
    for (size_t i = thread(); i < count; i += gridDim.x * blockDim.x)
        put(q, start + i, (i / n == i % n ? a : 0.0f) + b * get(square, start + i) + c * get(q, start + i));
}

// Moves weights and their average by the update `x`. Bytes: weight and average read and written, the update read.
KERNEL(muon_apply, 256, Tensor schedule, const Part* parts, int count, Tensor x) {
    const Part part = parts[blockIdx.y];
    const float lr = part.rate * get(schedule, 0), ema_rate = get(schedule, 3);
    const size_t start = static_cast<size_t>(blockIdx.y) * count;
    for (size_t i = thread(); i < static_cast<size_t>(count); i += gridDim.x * blockDim.x) {
        const size_t at = part.whole(i);
        float w = part.weight[at];
        w -= lr * (part.scale * get(x, start + part.factor(i)) + part.decay * w);
        part.weight[at] = w;
        if (part.shadow) narrow(w, part.shadow[at]);
        part.ema[at] += (1.0f - ema_rate) * (w - part.ema[at]);
    }
}
