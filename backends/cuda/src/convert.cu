// Fill, copy, convert and add. Bytes: one read and one write; add reads both.
#include "common.cuh"

KERNEL(fill, 256, Tensor y, size_t count, float value) {
    float x[VEC];
#pragma unroll
    for (int n = 0; n < VEC; n++) x[n] = value;
    const size_t i = thread() * VEC;
    if (i < count) store(y, i, x);
}

// y = x, both [rows, width].
KERNEL(convert, 256, Tensor x, Tensor y, size_t rows, int width) {
    const size_t i = thread() * VEC;
    if (i >= rows * width) return;
    const size_t row = i / width, column = i % width;
    float v[VEC];
    load(x, row * x.stride + column, v);
    store(y, row * y.stride + column, v);
}

// y += x, both of `count` numbers.
KERNEL(add, 256, Tensor x, Tensor y, size_t count) {
    const size_t i = thread() * VEC;
    if (i >= count) return;
    float a[VEC], b[VEC];
    load(x, i, a);
    load(y, i, b);
#pragma unroll
    for (int n = 0; n < VEC; n++) b[n] += a[n];
    store(y, i, b);
}
