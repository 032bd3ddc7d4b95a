// Filling, copying and converting. Bytes: those of one read and one write; no operations to speak of.
#include "common.cuh"

KERNEL(fill, 256, Tensor y, size_t count, float value) {
    float x[LANES];
#pragma unroll
    for (int n = 0; n < LANES; n++) x[n] = value;
    const size_t i = thread() * LANES;
    if (i < count) store(y, i, x);
}

// y = x, both [rows, width].
KERNEL(convert, 256, Tensor x, Tensor y, size_t rows, int width) {
    const size_t i = thread() * LANES;
    if (i >= rows * width) return;
    const size_t row = i / width, column = i % width;
    float v[LANES];
    load(x, row * x.stride + column, v);
    store(y, row * y.stride + column, v);
}
