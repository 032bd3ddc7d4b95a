// Root-mean-square normalisation, one warp per row. Forward: bytes x and y once, 4 operations per element.
#include "common.cuh"

// 1 / sqrt(mean(x²) + eps)
DEVICE float norm_scale(const Tensor& x, int row, int width, float eps) {
    float sum = 0.0f;
    for (int c = lane() * VEC; c < width; c += 32 * VEC) {
        float v[VEC];
        load(x, at(x, row, c), v);
#pragma unroll
        for (int n = 0; n < VEC; n++) sum += v[n] * v[n];
    }
    return 1.0f / sqrtf(warp_sum(sum) / width + eps);
}

KERNEL(norm_forward, 256, Tensor x, Tensor gain, int rows, int width, float eps, Tensor y) {
    const int row = blockIdx.x * warps() + warp();
    if (row >= rows) return;
    const float r = norm_scale(x, row, width, eps);
    for (int c = lane() * VEC; c < width; c += 32 * VEC) {
        float v[VEC], g[VEC];
        load(x, at(x, row, c), v);
        load(gain, c, g);
#pragma unroll
        for (int n = 0; n < VEC; n++) v[n] *= g[n] * r;
        store(y, at(y, row, c), v);
    }
}

// dx = residual + r (gain ∘ dy) − x r³ mean(gain ∘ dy ∘ x), and Σ dy ∘ x r of the block's rows as a partial of the gain's
// gradient. Bytes: x, dy, residual and dx once (the second pass over a row hits L1); 12 operations per element.
KERNEL(norm_backward, 256, Tensor x, Tensor gain, int rows, int width, float eps, Tensor dy, Tensor residual, Tensor dx, float* partial) {
    DYNAMIC_SHARED(float, sums);  // [warps, width]
    float* mine = sums + static_cast<size_t>(warp()) * width;
    for (int c = lane() * VEC; c < width; c += 32 * VEC)
        for (int n = 0; n < VEC; n++) mine[c + n] = 0.0f;
    for (int row = blockIdx.x * warps() + warp(); row < rows; row += gridDim.x * warps()) {
        const float r = norm_scale(x, row, width, eps);
        float along = 0.0f;
        for (int c = lane() * VEC; c < width; c += 32 * VEC) {
            float v[VEC], g[VEC], d[VEC];
            load(x, at(x, row, c), v);
            load(gain, c, g);
            load(dy, at(dy, row, c), d);
#pragma unroll
            for (int n = 0; n < VEC; n++) {
                along += g[n] * d[n] * v[n];
                mine[c + n] += d[n] * v[n] * r;
            }
        }
        const float pull = warp_sum(along) * r * r * r / width;
        for (int c = lane() * VEC; c < width; c += 32 * VEC) {
            float v[VEC], g[VEC], d[VEC], past[VEC];
            load(x, at(x, row, c), v);
            load(gain, c, g);
            load(dy, at(dy, row, c), d);
#pragma unroll
            for (int n = 0; n < VEC; n++) d[n] = r * g[n] * d[n] - v[n] * pull;
            if (present(residual)) {
                load(residual, at(residual, row, c), past);
#pragma unroll
                for (int n = 0; n < VEC; n++) d[n] += past[n];
            }
            store(dx, at(dx, row, c), d);
        }
    }
    __syncthreads();
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        float sum = 0.0f;
        for (int w = 0; w < warps(); w++) sum += sums[static_cast<size_t>(w) * width + c];
        partial[static_cast<size_t>(blockIdx.x) * width + c] = sum;
    }
}
