// Decoding steps of the classic Hopfield memory: positions in order, one block per head of a sequence, one thread per column of its
// two matrices. Bytes per position: both matrices twice and, for each refinement, once more, from L1 or L2; about (4 + 4K) d²
// operations per head.
#include "common.cuh"

constexpr int MAX_COLUMNS = 128;

// v = unit(v) in shared memory, with a barrier after it.
DEVICE void normalise(float* v, int d) {
    float sum = 1e-6f;
    for (int c = 0; c < d; c++) sum += v[c] * v[c];
    __syncthreads();
    const int c = threadIdx.x;
    if (c < d) v[c] /= sqrtf(sum);
    __syncthreads();
}

// Updates the state, `matrices` [B, 2w, d] and `last` [B, w].
KERNEL(hebbian_step, MAX_COLUMNS, Tensor qpv, const float* weights, Tensor log_beta, Tensor decay, int time, int head_dim, int depth,
       int successor, float* matrices, float* last, Tensor y) {
    SHARED(float, xi, MAX_COLUMNS);
    SHARED(float, pattern, MAX_COLUMNS);
    SHARED(float, item, MAX_COLUMNS);
    const int head = blockIdx.y, heads = gridDim.y, sequence = blockIdx.x, d = head_dim, width = heads * d, column = head * d, c = threadIdx.x;
    const bool mine = c < d;
    const float beta = expf(get(log_beta, head)), keep = sigmoid(get(decay, head));
    float* patterns = matrices + (static_cast<size_t>(sequence) * 2 * width + column) * d + c;
    float* values = patterns + static_cast<size_t>(width) * d;
    float before = mine ? last[static_cast<size_t>(sequence) * width + column + c] : 0.0f;
    for (int t = 0; t < time; t++) {
        const int row = sequence * time + t;
        __syncthreads();
        if (mine) {
            xi[c] = get(qpv, at(qpv, row, column + c));
            pattern[c] = get(qpv, at(qpv, row, width + column + c));
        }
        __syncthreads();
        normalise(xi, d);
        normalise(pattern, d);
        const float now = mine ? pattern[c] : 0.0f, value = mine ? get(qpv, at(qpv, row, 2 * width + column + c)) : 0.0f;
        if (mine) item[c] = successor ? before : now;
        __syncthreads();
        const float own = mine ? item[c] : 0.0f;
        before = now;
        for (int i = 0; i < d && mine; i++) {
            patterns[i * d] = keep * patterns[i * d] + item[i] * own;
            values[i * d] = keep * values[i * d] + item[i] * value;
        }
        float sum = 0.0f;
        for (int k = 0; k < depth; k++) {
            float read = 0.0f, pull = 0.0f;
            for (int i = 0; i < d && mine; i++) {
                read += xi[i] * values[i * d];
                pull += xi[i] * patterns[i * d];
            }
            sum += weights[static_cast<size_t>(row) * depth + k] * read;
            if (k + 1 == depth) break;
            __syncthreads();
            if (mine) xi[c] += tanhf(beta * pull);
            __syncthreads();
            normalise(xi, d);
        }
        if (mine) put(y, at(y, row, column + c), sum);
    }
    if (mine) last[static_cast<size_t>(sequence) * width + column + c] = before;
}
