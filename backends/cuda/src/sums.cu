// Sums over rows, in an order that depends on the shape only: each block of a kernel that loops over rows writes a partial sum
// of every column, and add_columns adds those to the target.
#include "common.cuh"

// partial[block] = Σ of x over the block's rows. Bytes: x once. Operations: one per element.
KERNEL(column_sums, 256, Tensor x, int rows, int width, float* partial) {
    DYNAMIC_SHARED(float, sums);  // [warps, width]
    float* mine = sums + static_cast<size_t>(warp()) * width;
    for (int c = lane(); c < width; c += 32) mine[c] = 0.0f;
    for (int row = blockIdx.x * warps() + warp(); row < rows; row += gridDim.x * warps())
        for (int c = lane(); c < width; c += 32) mine[c] += get(x, at(x, row, c));
    __syncthreads();
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        float sum = 0.0f;
        for (int w = 0; w < warps(); w++) sum += sums[static_cast<size_t>(w) * width + c];
        partial[static_cast<size_t>(blockIdx.x) * width + c] = sum;
    }
}

// target[c] += Σ over n partials of [n, width], columns start … start + count. 32 columns per block, 8 runs of partials.
KERNEL(add_columns, 256, const float* partial, int n, int width, int start, int count, Tensor target) {
    SHARED(float, sums, 256);
    const int c = blockIdx.x * 32 + lane();
    float sum = 0.0f;
    if (c < count)
        for (int i = warp(); i < n; i += 8) sum += partial[static_cast<size_t>(i) * width + start + c];
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (warp() > 0 || c >= count) return;
    for (int w = 1; w < 8; w++) sum += sums[w * 32 + lane()];
    put(target, c, get(target, c) + sum);
}
