// An emulated GPU in C++: runs the kernels' own sources on the host, for tests without a device.
//
// Blocks run one after another, in shuffled order. The threads of a block are fibres, each with its own stack; between two
// barriers they run in shuffled order, so that a result with a data race changes from launch to launch. Shared memory is NaN
// when a block starts. A barrier that some thread never reaches is an error, as is an argument whose size differs from the
// kernel's parameter.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#define __device__
#define __forceinline__ inline

struct Dim {
    unsigned x, y, z;
};
// __thread and not thread_local: access needs no check for initialisation.
extern __thread Dim threadIdx, blockIdx, blockDim, gridDim;

namespace emulate {

// A registered kernel, found by name and variant.
struct Entry {
    const char* name;
    const char* variant;
    unsigned most_threads;
    std::vector<size_t> sizes;
    std::function<void(const void* const*)> call;
    const Entry* next;

    static const Entry* first;

    template <class... P>
    Entry(const char* name, const char* variant, unsigned most_threads, void (*kernel)(P...))
        : name(name), variant(variant), most_threads(most_threads), sizes{sizeof(P)...}, next(first) {
        call = [kernel](const void* const* args) { apply(kernel, args, std::index_sequence_for<P...>()); };
        first = this;
    }

    template <class... P, size_t... I>
    static void apply(void (*kernel)(P...), const void* const* args, std::index_sequence<I...>) {
        kernel(*static_cast<const P*>(args[I])...);
    }
};

// The byte of unwritten memory: NaN in f32 and bf16.
constexpr unsigned char POISON = 0xff;

// Waits for all threads of the block; true if `flag` is true for any of them.
bool block_barrier(bool flag);
void warp_barrier();
// Bytes per lane exchanged by a warp collective, and the buffer of the current collective.
constexpr size_t SLOT = 64;
unsigned char* slots();
char* dynamic_shared();
// Number of the running block, to poison static shared memory once per block.
uint64_t block_number();

template <class T>
T exchange(T mine, unsigned from) {
    static_assert(sizeof(T) <= SLOT, "fits a slot");
    unsigned char* all = slots();
    std::memcpy(all + (threadIdx.x & 31) * SLOT, &mine, sizeof(T));
    warp_barrier();
    T theirs;
    std::memcpy(&theirs, all + (from & 31) * SLOT, sizeof(T));
    return theirs;
}

// The values of all lanes of the warp, valid until the collective after the next.
template <class T>
const T* gather(T mine) {
    static_assert(sizeof(T) <= SLOT, "fits a slot");
    auto* all = reinterpret_cast<T*>(slots());
    all[threadIdx.x & 31] = mine;
    warp_barrier();
    return all;
}

inline void poison(uint64_t& seen, void* memory, size_t bytes) {
    if (seen != block_number()) {
        seen = block_number();
        std::memset(memory, POISON, bytes);
    }
}

}  // namespace emulate

#define KERNEL(name, threads, ...)                                     \
    static void name(__VA_ARGS__);                                     \
    static const emulate::Entry name##_entry(#name, VARIANT, threads, name); \
    static void name(__VA_ARGS__)
#define SHARED(type, name, count)                 \
    static thread_local type name[count];         \
    static thread_local uint64_t name##_seen = 0; \
    emulate::poison(name##_seen, name, sizeof(name))
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulate::dynamic_shared())

inline void __syncthreads() { emulate::block_barrier(false); }
inline int __syncthreads_or(int flag) { return emulate::block_barrier(flag != 0); }
inline void __syncwarp() { emulate::warp_barrier(); }
template <class T>
T __shfl_sync(unsigned, T x, int from) { return emulate::exchange(x, from); }
template <class T>
T __shfl_xor_sync(unsigned, T x, int offset) { return emulate::exchange(x, (threadIdx.x & 31) ^ offset); }
unsigned __ballot_sync(unsigned, int flag);

inline float __uint_as_float(unsigned u) {
    float f;
    std::memcpy(&f, &u, sizeof f);
    return f;
}
inline unsigned __float_as_uint(float f) {
    unsigned u;
    std::memcpy(&u, &f, sizeof u);
    return u;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<uint64_t>(a) * b >> 32; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
template <class T>
T min(T a, T b) { return a < b ? a : b; }
template <class T>
T max(T a, T b) { return a > b ? a : b; }
