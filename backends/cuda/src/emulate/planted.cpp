// Kernels with one fault each, by which tests see that the emulated machine shows it.
#include "../common.cuh"

#define VARIANT ""
namespace planted {

// Nothing is wrong with this one: thread i learns what thread i ^ 33, of the other warp, wrote.
KERNEL(planted_none, 64, float* y) {
    DYNAMIC_SHARED(float, x);
    x[threadIdx.x] = static_cast<float>(threadIdx.x);
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x ^ 33];
}

KERNEL(planted_no_barrier, 64, float* y) {
    DYNAMIC_SHARED(float, x);
    x[threadIdx.x] = static_cast<float>(threadIdx.x);
    y[threadIdx.x] = x[threadIdx.x ^ 33];
}

// What is read was written before, by a barrier's account: poison alone would not show it.
KERNEL(planted_no_second_barrier, 64, float* y) {
    DYNAMIC_SHARED(float, x);
    x[threadIdx.x] = 0.0f;
    __syncthreads();
    x[threadIdx.x] = static_cast<float>(threadIdx.x);
    y[threadIdx.x] = x[threadIdx.x ^ 33];
}

KERNEL(planted_last_wins, 64, float* y) { y[0] = static_cast<float>(threadIdx.x); }

KERNEL(planted_unwritten, 64, float* y) {
    SHARED(float, x, 64);
    y[threadIdx.x] = x[threadIdx.x];
}

KERNEL(planted_divergent, 64, float* y) {
    if (threadIdx.x < 40)
        __syncthreads();
    else
        __syncwarp();
    y[threadIdx.x] = 0.0f;
}

KERNEL(planted_beyond_shared, 64, float* y) {
    DYNAMIC_SHARED(float, x);
    x[threadIdx.x + 1] = 0.0f;
    y[threadIdx.x] = 0.0f;
}

}  // namespace planted
