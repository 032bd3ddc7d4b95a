// Kernels with one planted fault each, to test that the emulated device detects it.
#define REAL float
#define HEAD 16
#include "../pipeline.cuh"

#define VARIANT ""
namespace planted {

// Correct: thread i reads the value that thread i ^ 33, of the other warp, wrote.
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

// The value read was written before the first barrier: poison alone would not detect the missing second one.
KERNEL(planted_no_second_barrier, 64, float* y) {
    DYNAMIC_SHARED(float, x);
    x[threadIdx.x] = 0.0f;
    __syncthreads();
    x[threadIdx.x] = static_cast<float>(threadIdx.x);
    y[threadIdx.x] = x[threadIdx.x ^ 33];
}

// Every fourth thread copies the values of four threads.
template <bool WAIT, bool BARRIER>
DEVICE void copied(float* y) {
    DYNAMIC_SHARED(float, x);
    y[threadIdx.x] = static_cast<float>(threadIdx.x);
    __syncthreads();
    Copies copies;
    if (threadIdx.x % 4 == 0) copies.begin(x + threadIdx.x, y + threadIdx.x, true);
    if (WAIT) copies.wait();
    if (BARRIER) __syncthreads();
    const float found = x[threadIdx.x ^ 33];
    __syncthreads();
    y[threadIdx.x] = found;
}

// Correct.
KERNEL(planted_copied, 64, float* y) { copied<true, true>(y); }
KERNEL(planted_not_waited_for, 64, float* y) { copied<false, true>(y); }
// Each thread waits for its own copies only, without a barrier.
KERNEL(planted_waited_alone, 64, float* y) { copied<true, false>(y); }

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
