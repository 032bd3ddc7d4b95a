// Shared by all kernels: tensors of f32 or bf16, conversions, fast math, warp reductions.
//
// A kernel is declared KERNEL(name, maximum threads per block, parameters…). Rows, columns and counts are int, element offsets
// size_t. VEC, a define of the compilation, is the number of adjacent elements per vector load of a thread.
#pragma once

#ifdef HH_EMULATE
#include "emulate/device.hpp"
#else
#define KERNEL(name, threads, ...) extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
#define SHARED(type, name, count) __shared__ type name[count]
#define DYNAMIC_SHARED(type, name)                      \
    extern __shared__ __align__(16) char name##_bytes[]; \
    type* name = reinterpret_cast<type*>(name##_bytes)
#endif

#define DEVICE static __device__ __forceinline__
constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr float LOWEST = -1e30f;
// Target id of rows without a loss.
constexpr unsigned IGNORE_TARGET = 0xffffffffu;

// A brain float: the upper half of an f32.
struct bf16 {
    unsigned short bits;
};

DEVICE float wide(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
DEVICE float wide(float x) { return x; }

// Rounds to nearest, ties to even.
DEVICE void narrow(float x, bf16& y) {
#ifdef HH_EMULATE
    unsigned u = __float_as_uint(x);
    y.bits = x != x ? 0x7fc0 : static_cast<unsigned short>((u + 0x7fff + (u >> 16 & 1)) >> 16);
#else
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#endif
}
DEVICE void narrow(float x, float& y) { y = x; }

// A row-major matrix with rows `stride` elements apart; absent where data is null. Passed by value, 16 bytes.
struct Tensor {
    void* data;
    int is_bf16;
    int stride;
};

DEVICE bool present(const Tensor& t) { return t.data != nullptr; }
DEVICE size_t at(const Tensor& t, int row, int column) { return static_cast<size_t>(row) * t.stride + column; }

DEVICE float get(const Tensor& t, size_t i) {
    return t.is_bf16 ? wide(static_cast<const bf16*>(t.data)[i]) : static_cast<const float*>(t.data)[i];
}
DEVICE void put(const Tensor& t, size_t i, float x) {
    if (t.is_bf16)
        narrow(x, static_cast<bf16*>(t.data)[i]);
    else
        static_cast<float*>(t.data)[i] = x;
}

// N adjacent elements in accesses of up to 16 bytes; `i` and the tensor's start are multiples of N.
template <class Element, int N>
struct alignas(N * sizeof(Element) < 16 ? N * sizeof(Element) : 16) Packed {
    Element x[N];
};

template <int N>
DEVICE void load(const Tensor& t, size_t i, float (&to)[N]) {
    if (t.is_bf16) {
        const auto packed = *reinterpret_cast<const Packed<bf16, N>*>(static_cast<const bf16*>(t.data) + i);
#pragma unroll
        for (int n = 0; n < N; n++) to[n] = wide(packed.x[n]);
    } else {
        const auto packed = *reinterpret_cast<const Packed<float, N>*>(static_cast<const float*>(t.data) + i);
#pragma unroll
        for (int n = 0; n < N; n++) to[n] = packed.x[n];
    }
}

template <int N>
DEVICE void store(const Tensor& t, size_t i, const float (&from)[N]) {
    if (t.is_bf16) {
        Packed<bf16, N> packed;
#pragma unroll
        for (int n = 0; n < N; n++) narrow(from[n], packed.x[n]);
        *reinterpret_cast<Packed<bf16, N>*>(static_cast<bf16*>(t.data) + i) = packed;
    } else {
        Packed<float, N> packed;
#pragma unroll
        for (int n = 0; n < N; n++) packed.x[n] = from[n];
        *reinterpret_cast<Packed<float, N>*>(static_cast<float*>(t.data) + i) = packed;
    }
}

// Approximate functions for inner loops, one or two instructions each, accurate to 22 bits: the C functions take several, with
// branches. Subnormal values are flushed to 0.
#ifdef HH_EMULATE
// Rounds to the 22 bits that a device's approximations are accurate to.
DEVICE float approximate(float x) {
    const unsigned u = __float_as_uint(x);
    return x != x ? x : __uint_as_float((u + 1 + (u >> 2 & 1)) & ~3u);
}
#endif
DEVICE float power_of_two(float x) {
#ifdef HH_EMULATE
    return x < -126.0f ? 0.0f : approximate(exp2f(x));
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}
DEVICE float reciprocal(float x) {
#ifdef HH_EMULATE
    return approximate(1.0f / x);
#else
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}
DEVICE float root(float x) {
#ifdef HH_EMULATE
    return approximate(sqrtf(x));
#else
    float y;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}
constexpr float LOG2_E = 1.44269504088896340736f;

DEVICE float exponential(float x) { return power_of_two(LOG2_E * x); }
DEVICE float sigmoid(float x) { return reciprocal(1.0f + power_of_two(-LOG2_E * x)); }
DEVICE float silu(float x) { return x * sigmoid(x); }
DEVICE float silu_grad(float x) {
    const float s = sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}
DEVICE float softplus(float x) { return x > 20.0f ? x : log1pf(expf(x)); }

DEVICE int lane() { return threadIdx.x & 31; }
DEVICE int warp() { return threadIdx.x >> 5; }
DEVICE int warps() { return blockDim.x >> 5; }
// Global index of this thread in a one-dimensional launch.
DEVICE size_t thread() { return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

DEVICE float warp_sum(float x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(ALL_LANES, x, offset);
    return x;
}
DEVICE float warp_max(float x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, offset));
    return x;
}
