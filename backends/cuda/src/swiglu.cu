// y = silu(a) ∘ b. Bytes: packed and y once (backward: packed, dy and the gradient); 6 operations per element.
#include "common.cuh"

KERNEL(swiglu_forward, 256, Tensor packed, int rows, int width, Tensor y) {
    const size_t i = thread() * VEC;
    const int row = i / width, column = i % width;
    if (row >= rows) return;
    float a[VEC], b[VEC];
    load(packed, at(packed, row, column), a);
    load(packed, at(packed, row, width + column), b);
#pragma unroll
    for (int n = 0; n < VEC; n++) a[n] = silu(a[n]) * b[n];
    store(y, at(y, row, column), a);
}

KERNEL(swiglu_backward, 256, Tensor packed, int rows, int width, Tensor dy, Tensor d_packed) {
    const size_t i = thread() * VEC;
    const int row = i / width, column = i % width;
    if (row >= rows) return;
    float a[VEC], b[VEC], d[VEC];
    load(packed, at(packed, row, column), a);
    load(packed, at(packed, row, width + column), b);
    load(dy, at(dy, row, column), d);
#pragma unroll
    for (int n = 0; n < VEC; n++) {
        const float s = sigmoid(a[n]), slope = s * (1.0f + a[n] * (1.0f - s));
        const float value = a[n] * s;
        a[n] = d[n] * b[n] * slope;
        b[n] = d[n] * value;
    }
    store(d_packed, at(d_packed, row, column), a);
    store(d_packed, at(d_packed, row, width + column), b);
}
