// The fusion of the paths, one warp per row: each path is normalised, multiplied by its gain, and weighted by its gate.
#include "common.cuh"

// Widths of the paths that are on, in column order.
struct Spans {
    int width[3];
    int count;
};

// 1 / sqrt(mean(x²) + eps) over columns start … start + width; 1 without normalisation.
DEVICE float mix_scale(const Tensor& x, int row, int start, int width, float eps, int norm) {
    if (!norm) return 1.0f;
    float sum = 0.0f;
    for (int c = lane() * VEC; c < width; c += 32 * VEC) {
        float v[VEC];
        load(x, at(x, row, start + c), v);
#pragma unroll
        for (int n = 0; n < VEC; n++) sum += v[n] * v[n];
    }
    return 1.0f / sqrtf(warp_sum(sum) / width + eps);
}

// Bytes: paths and y once; 5 operations per element.
KERNEL(mix_forward, 256, Tensor x, Tensor gain, Tensor gates, Spans spans, int norm, int rows, float eps, Tensor y) {
    const int row = blockIdx.x * warps() + warp();
    if (row >= rows) return;
    for (int i = 0, start = 0; i < spans.count; start += spans.width[i++]) {
        const float gate = present(gates) ? get(gates, at(gates, row, i)) : 1.0f;
        const float weight = gate * mix_scale(x, row, start, spans.width[i], eps, norm);
        for (int c = lane() * VEC; c < spans.width[i]; c += 32 * VEC) {
            float v[VEC], g[VEC];
            load(x, at(x, row, start + c), v);
            load(gain, start + c, g);
#pragma unroll
            for (int n = 0; n < VEC; n++) v[n] *= weight * g[n];
            store(y, at(y, row, start + c), v);
        }
    }
}

// With r the scale and g the gate of a path of w columns: dg = r Σ dy ∘ gain ∘ x, d_gain += g r Σ_rows dy ∘ x,
// dx = g r (gain ∘ dy − x r² mean(gain ∘ dy ∘ x)), without the last term if the paths are not normalised.
// Bytes: paths, dy and dx once; 12 operations per element.
KERNEL(mix_backward, 256, Tensor x, Tensor gain, Tensor gates, Spans spans, int norm, int rows, int width, float eps, Tensor dy, Tensor dx,
       Tensor d_gates, float* partial) {
    DYNAMIC_SHARED(float, sums);  // [warps, width]
    float* mine = sums + static_cast<size_t>(warp()) * width;
    for (int i = 0, start = 0; i < spans.count; start += spans.width[i++])
        for (int c = start + lane() * VEC; c < start + spans.width[i]; c += 32 * VEC)
            for (int n = 0; n < VEC; n++) mine[c + n] = 0.0f;
    for (int row = blockIdx.x * warps() + warp(); row < rows; row += gridDim.x * warps()) {
        for (int i = 0, start = 0; i < spans.count; start += spans.width[i++]) {
            const int w = spans.width[i];
            const float gate = present(gates) ? get(gates, at(gates, row, i)) : 1.0f, r = mix_scale(x, row, start, w, eps, norm);
            float along = 0.0f;
            for (int c = start + lane() * VEC; c < start + w; c += 32 * VEC) {
                float v[VEC], g[VEC], d[VEC];
                load(x, at(x, row, c), v);
                load(gain, c, g);
                load(dy, at(dy, row, c), d);
#pragma unroll
                for (int n = 0; n < VEC; n++) {
                    along += g[n] * d[n] * v[n];
                    mine[c + n] += gate * r * d[n] * v[n];
                }
            }
            along = warp_sum(along);
            if (present(d_gates) && lane() == 0) put(d_gates, at(d_gates, row, i), r * along);
            const float pull = norm ? r * r * along / w : 0.0f;
            for (int c = start + lane() * VEC; c < start + w; c += 32 * VEC) {
                float v[VEC], g[VEC], d[VEC];
                load(x, at(x, row, c), v);
                load(gain, c, g);
                load(dy, at(dy, row, c), d);
#pragma unroll
                for (int n = 0; n < VEC; n++) d[n] = gate * r * (g[n] * d[n] - v[n] * pull);
                store(dx, at(dx, row, c), d);
            }
        }
    }
    __syncthreads();
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        float sum = 0.0f;
        for (int w = 0; w < warps(); w++) sum += sums[static_cast<size_t>(w) * width + c];
        partial[static_cast<size_t>(blockIdx.x) * width + c] = sum;
    }
}
