// Cross-entropy of rows of logits, a block a row: one pass for the sums, one that turns logits into their own gradient.
// Bytes: the logits once forward; three times backward (the second reading finds a row of up to some 50,000 in L2). The
// products around it, 2 · rows · width · vocab operations each, are matmul's.
#include "common.cuh"

// 1 / (rows that are scored), in one block.
KERNEL(cross_entropy_share, 256, const unsigned* targets, int rows, float* share) {
    SHARED(int, counts, 8);
    int count = 0;
    for (int row = threadIdx.x; row < rows; row += 256) count += targets[row] != IGNORE_TARGET;
    count = static_cast<int>(warp_sum(count));
    if (lane() == 0) counts[warp()] = count;
    __syncthreads();
    if (threadIdx.x > 0) return;
    count = 0;
    for (int w = 0; w < 8; w++) count += counts[w];
    *share = 1.0f / max(count, 1);
}

// A running logsumexp: `sum` of exp(x − top).
struct Running {
    float top, sum;
};

DEVICE Running meet(Running a, Running b) {
    const float top = fmaxf(a.top, b.top);
    return {top, a.sum * exponential(a.top - top) + b.sum * exponential(b.top - top)};
}

// Weights of the three losses in what is differentiated.
struct Objective {
    float nll, smooth, z, scale;
};

// nll, logsumexp² and smooth of each row; with `slopes`, the gradient of its logits.
KERNEL(cross_entropy_rows, 256, Tensor logits, const unsigned* targets, int first, int vocab, const float* share, Objective weight,
       Tensor slopes, Tensor losses) {
    SHARED(Running, found, 8);
    SHARED(float, sums, 8);
    const int row = blockIdx.x;
    const unsigned target = targets[first + row];
    if (target == IGNORE_TARGET) {
        if (threadIdx.x < 3) put(losses, at(losses, first + row, threadIdx.x), 0.0f);
        if (present(slopes))
            for (int i = threadIdx.x; i < vocab; i += blockDim.x) put(slopes, at(slopes, row, i), 0.0f);
        return;
    }
    const float at_target = get(logits, at(logits, row, target));
    Running mine = {FAR_BELOW, 0.0f};
    float sum = 0.0f;
    for (int i = threadIdx.x * LANES; i < vocab; i += blockDim.x * LANES) {
        float x[LANES], top = mine.top;
        load(logits, at(logits, row, i), x);
#pragma unroll
        for (int n = 0; n < LANES; n++) top = fmaxf(top, x[n]);
        mine.sum *= exponential(mine.top - top);
        mine.top = top;
#pragma unroll
        for (int n = 0; n < LANES; n++) {
            mine.sum += exponential(x[n] - top);
            sum += x[n];
        }
    }
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2)
        mine = meet(mine, {__shfl_xor_sync(ALL_LANES, mine.top, apart), __shfl_xor_sync(ALL_LANES, mine.sum, apart)});
    sum = warp_sum(sum);
    if (lane() == 0) found[warp()] = mine, sums[warp()] = sum;
    // All have read the target's logit: with slopes in the logits' place it is about to change.
    __syncthreads();
    mine = found[0], sum = sums[0];
    for (int w = 1; w < warps(); w++) mine = meet(mine, found[w]), sum += sums[w];
    const float log_sum = mine.top + logf(mine.sum);
    if (threadIdx.x == 0) {
        put(losses, at(losses, first + row, 0), log_sum - at_target);
        put(losses, at(losses, first + row, 1), log_sum * log_sum);
        put(losses, at(losses, first + row, 2), log_sum - sum / vocab);
    }
    if (!present(slopes)) return;
    const float scale = weight.scale * *share;
    const float likely = scale * (weight.nll + weight.smooth + 2.0f * weight.z * log_sum), even = scale * weight.smooth / vocab;
    for (int i = threadIdx.x * LANES; i < vocab; i += blockDim.x * LANES) {
        float x[LANES];
        load(logits, at(logits, row, i), x);
#pragma unroll
        for (int n = 0; n < LANES; n++) x[n] = likely * exponential(x[n] - log_sum) - even - (i + n == static_cast<int>(target) ? scale * weight.nll : 0.0f);
        store(slopes, at(slopes, row, i), x);
    }
}
