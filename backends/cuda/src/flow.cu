// The rectified-flow head; one warp per row for kernels with a row sum. Bytes: each tensor once; under ten operations per element.
#include "common.cuh"

// x₁ = √E · unit(table[target]); point = (1 − τ) noise + τ x₁; velocity = x₁ − noise. Zeros for rows without a target.
KERNEL(flow_point, 256, const unsigned* targets, Tensor table, Tensor noise, Tensor time, int rows, int width, Tensor point, Tensor velocity) {
    const int row = blockIdx.x * warps() + warp();
    if (row >= rows) return;
    const unsigned target = targets[row];
    const bool scored = target != IGNORE_TARGET;
    float sum = 0.0f;
    for (int c = lane(); c < width && scored; c += 32) {
        const float x = get(table, at(table, target, c));
        sum += x * x;
    }
    const float scale = sqrtf(width / (warp_sum(sum) + 1e-6f)), tau = get(time, row);
    for (int c = lane(); c < width; c += 32) {
        const float goal = scored ? scale * get(table, at(table, target, c)) : 0.0f;
        const float n = scored ? get(noise, at(noise, row, c)) : 0.0f;
        put(point, at(point, row, c), (1.0f - tau) * n + tau * goal);
        put(velocity, at(velocity, row, c), goal - n);
    }
}

// y = silu(x + τ · weight)
KERNEL(flow_hidden_forward, 256, Tensor x, Tensor time, Tensor weight, int rows, int width, Tensor y) {
    const size_t i = thread();
    const int row = i / width, column = i % width;
    if (row >= rows) return;
    put(y, at(y, row, column), silu(get(x, at(x, row, column)) + get(time, row) * get(weight, column)));
}

KERNEL(flow_hidden_backward, 256, Tensor x, Tensor time, Tensor weight, int rows, int width, Tensor dy, Tensor dx, float* partial) {
    DYNAMIC_SHARED(float, sums);  // [warps, width]
    float* mine = sums + static_cast<size_t>(warp()) * width;
    for (int c = lane(); c < width; c += 32) mine[c] = 0.0f;
    for (int row = blockIdx.x * warps() + warp(); row < rows; row += gridDim.x * warps()) {
        const float tau = get(time, row);
        for (int c = lane(); c < width; c += 32) {
            const float d = get(dy, at(dy, row, c)) * silu_grad(get(x, at(x, row, c)) + tau * get(weight, c));
            put(dx, at(dx, row, c), d);
            mine[c] += tau * d;
        }
    }
    __syncthreads();
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        float sum = 0.0f;
        for (int w = 0; w < warps(); w++) sum += sums[static_cast<size_t>(w) * width + c];
        partial[static_cast<size_t>(blockIdx.x) * width + c] = sum;
    }
}

// The row's mean of (x − goal)², and dx = slope (x − goal).
KERNEL(squared_error, 256, Tensor x, Tensor goal, int rows, int width, float slope, Tensor losses, Tensor dx) {
    const int row = blockIdx.x * warps() + warp();
    if (row >= rows) return;
    float sum = 0.0f;
    for (int c = lane(); c < width; c += 32) {
        const float e = get(x, at(x, row, c)) - get(goal, at(goal, row, c));
        sum += e * e;
        put(dx, at(dx, row, c), slope * e);
    }
    sum = warp_sum(sum);
    if (lane() == 0) put(losses, row, sum / width);
}
