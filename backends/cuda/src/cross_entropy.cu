// Cross-entropy of rows of logits, one block per row: one pass for the sums, one that replaces logits by their gradient.
// Bytes: the logits once forward; three times backward (the second read of a row of up to about 50,000 hits L2). The matrix
// products before and after, 2 · rows · width · vocab operations each, are not part of these kernels.
#include "common.cuh"

// 1 / (number of rows with a target), in one block.
KERNEL(cross_entropy_inverse_count, 256, const unsigned* targets, int rows, float* inverse_count) {
    SHARED(int, counts, 8);
    int count = 0;
    for (int row = threadIdx.x; row < rows; row += 256) count += targets[row] != IGNORE_TARGET;
    count = static_cast<int>(warp_sum(count));
    if (lane() == 0) counts[warp()] = count;
    __syncthreads();
    if (threadIdx.x > 0) return;
    count = 0;
    for (int w = 0; w < 8; w++) count += counts[w];
    *inverse_count = 1.0f / max(count, 1);
}

// A running logsumexp: `sum` of exp(x − top).
struct LogSumExp {
    float top, sum;
};

DEVICE LogSumExp merge(LogSumExp a, LogSumExp b) {
    const float top = fmaxf(a.top, b.top);
    return {top, a.sum * exponential(a.top - top) + b.sum * exponential(b.top - top)};
}

// Weights of the three losses in the objective.
struct LossWeights {
    float nll, smooth, z, scale;
};

// nll, logsumexp² and smooth of each row; with `d_logits`, the gradient of its logits and, where there is one, of its mixture. Rows
// may be longer than the vocabulary.
KERNEL(cross_entropy_rows, 256, Tensor logits, const unsigned* targets, Tensor mixture, int first, int vocab, const float* inverse_count,
       LossWeights weight, Tensor d_logits, Tensor d_mixture, Tensor losses) {
    SHARED(LogSumExp, found, 8);
    SHARED(float, sums, 8);
    const int row = blockIdx.x;
    const unsigned target = targets[first + row];
    if (target == IGNORE_TARGET) {
        if (threadIdx.x < 3) put(losses, at(losses, first + row, threadIdx.x), 0.0f);
        if (threadIdx.x < 2 && present(d_mixture)) put(d_mixture, at(d_mixture, first + row, threadIdx.x), 0.0f);
        if (present(d_logits))
            for (int i = threadIdx.x; i < d_logits.stride; i += blockDim.x) put(d_logits, at(d_logits, row, i), 0.0f);
        return;
    }
    const float at_target = get(logits, at(logits, row, target));
    LogSumExp mine = {LOWEST, 0.0f};
    float sum = 0.0f;
    const int whole = vocab / VEC * VEC;
    for (int i = threadIdx.x * VEC; i < whole; i += blockDim.x * VEC) {
        float x[VEC], top = mine.top;
        load(logits, at(logits, row, i), x);
#pragma unroll
        for (int n = 0; n < VEC; n++) top = fmaxf(top, x[n]);
        mine.sum *= exponential(mine.top - top);
        mine.top = top;
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            mine.sum += exponential(x[n] - top);
            sum += x[n];
        }
    }
    if (static_cast<int>(threadIdx.x) < vocab - whole) {
        const float x = get(logits, at(logits, row, whole + threadIdx.x));
        mine = merge(mine, {x, 1.0f});
        sum += x;
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
        mine = merge(mine, {__shfl_xor_sync(ALL_LANES, mine.top, offset), __shfl_xor_sync(ALL_LANES, mine.sum, offset)});
    sum = warp_sum(sum);
    if (lane() == 0) found[warp()] = mine, sums[warp()] = sum;
    // All threads have read the target's logit, which is overwritten below if d_logits is in place.
    __syncthreads();
    mine = found[0], sum = sums[0];
    for (int w = 1; w < warps(); w++) mine = merge(mine, found[w]), sum += sums[w];
    const float log_sum = mine.top + logf(mine.sum);
    // The part of the target's probability that comes from the model.
    float nll = log_sum - at_target, own = 1.0f;
    if (present(mixture)) {
        const float a = get(mixture, at(mixture, first + row, 0)) - nll, b = get(mixture, at(mixture, first + row, 1));
        nll = -(fmaxf(a, b) + log1pf(expf(-fabsf(a - b))));
        own = expf(a + nll);
    }
    if (threadIdx.x == 0) {
        put(losses, at(losses, first + row, 0), nll);
        put(losses, at(losses, first + row, 1), log_sum * log_sum);
        put(losses, at(losses, first + row, 2), log_sum - sum / vocab);
    }
    if (!present(d_logits)) return;
    const float scale = weight.scale * *inverse_count;
    if (threadIdx.x == 0 && present(d_mixture)) {
        put(d_mixture, at(d_mixture, first + row, 0), -scale * weight.nll * own);
        put(d_mixture, at(d_mixture, first + row, 1), -scale * weight.nll * (1.0f - own));
    }
    const float softmax_weight = scale * (weight.nll * own + weight.smooth + 2.0f * weight.z * log_sum), uniform = scale * weight.smooth / vocab;
    // Gradients beyond the vocabulary, which fill the last vector and the row, are zeros.
    for (int i = threadIdx.x * VEC; i < d_logits.stride; i += blockDim.x * VEC) {
        float x[VEC] = {};
        if (i < vocab) load(logits, at(logits, row, i), x);
#pragma unroll
        for (int n = 0; n < VEC; n++) {
            const float softmax = softmax_weight * exponential(x[n] - log_sum);
            x[n] = i + n < vocab ? softmax - uniform - (i + n == static_cast<int>(target) ? scale * weight.nll * own : 0.0f) : 0.0f;
        }
        store(d_logits, at(d_logits, row, i), x);
    }
}
