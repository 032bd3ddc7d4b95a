// The gates of the mixer, one warp per row. Bytes: the hidden layer once (twice backward); 2n operations per hidden unit.
#include "common.cuh"

// The control column of each gate that is on, and the number of gates.
struct Controls {
    int column[3];
    int count;
};

KERNEL(gate_forward, 256, Tensor hidden, Tensor weight, Tensor bias, Tensor control, Controls on, int rows, int width, Tensor gates) {
    const int row = blockIdx.x * warps() + warp();
    if (row >= rows) return;
    float logits[3] = {};
    for (int c = lane(); c < width; c += 32) {
        const float active = silu(get(hidden, at(hidden, row, c)));
#pragma unroll
        for (int i = 0; i < 3; i++)
            if (i < on.count) logits[i] += active * get(weight, at(weight, i, c));
    }
    float top = LOWEST, sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 3; i++) {
        if (i >= on.count) continue;
        logits[i] = warp_sum(logits[i]) + get(bias, i) + (present(control) ? get(control, at(control, row, on.column[i])) : 0.0f);
        top = fmaxf(top, logits[i]);
    }
#pragma unroll
    for (int i = 0; i < 3; i++)
        if (i < on.count) sum += logits[i] = expf(logits[i] - top);
    if (lane() > 0) return;
#pragma unroll
    for (int i = 0; i < 3; i++)
        if (i < on.count) put(gates, at(gates, row, i), on.count * logits[i] / sum);
}

// slope_i = g_i (dy_i − Σ_j g_j dy_j / n) is the gradient of the logits. Partial gradients: [n, G] of the weight, then [n] of the bias.
KERNEL(gate_backward, 256, Tensor hidden, Tensor weight, Tensor gates, Tensor dy, Controls on, int rows, int width, Tensor d_hidden,
       Tensor d_control, float* partial) {
    DYNAMIC_SHARED(float, sums);  // [warps, n · G + n]
    const int n = on.count, size = n * width + n;
    float* mine = sums + static_cast<size_t>(warp()) * size;
    for (int c = lane(); c < size; c += 32) mine[c] = 0.0f;
    __syncwarp();
    for (int row = blockIdx.x * warps() + warp(); row < rows; row += gridDim.x * warps()) {
        float slope[3] = {}, along = 0.0f;
#pragma unroll
        for (int i = 0; i < 3; i++)
            if (i < n) along += get(gates, at(gates, row, i)) * get(dy, at(dy, row, i)) / n;
#pragma unroll
        for (int i = 0; i < 3; i++)
            if (i < n) slope[i] = get(gates, at(gates, row, i)) * (get(dy, at(dy, row, i)) - along);
        for (int c = lane(); c < width; c += 32) {
            const float h = get(hidden, at(hidden, row, c)), active = silu(h);
            float d = 0.0f;
#pragma unroll
            for (int i = 0; i < 3; i++) {
                if (i >= n) continue;
                d += slope[i] * get(weight, at(weight, i, c));
                mine[i * width + c] += slope[i] * active;
            }
            put(d_hidden, at(d_hidden, row, c), d * silu_grad(h));
        }
        if (lane() > 0) continue;
#pragma unroll
        for (int i = 0; i < 3; i++)
            if (i < n) mine[n * width + i] += slope[i];
        if (!present(d_control)) continue;
        for (int i = 0; i < 3; i++) put(d_control, at(d_control, row, i), 0.0f);
#pragma unroll
        for (int i = 0; i < 3; i++)
            if (i < n) put(d_control, at(d_control, row, on.column[i]), slope[i]);
    }
    __syncthreads();
    for (int c = threadIdx.x; c < size; c += blockDim.x) {
        float sum = 0.0f;
        for (int w = 0; w < warps(); w++) sum += sums[static_cast<size_t>(w) * size + c];
        partial[static_cast<size_t>(blockIdx.x) * size + c] = sum;
    }
}
