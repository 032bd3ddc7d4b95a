// Tiles on their way from global to shared memory, each brought while the one before is used (cp.async).
#pragma once
#include "tile.cuh"

// Rooms for a tile of each kind, as in lookup.rs: in f32, where tiles of wide heads fill what a block may have, no more than one.
constexpr int STAGES = sizeof(REAL) == 2 ? 2 : 1;

// The copies of 16 bytes that this thread has begun, and not waited for.
struct Copies {
#ifdef HH_EMULATE
    struct Copy {
        void* to;
        const void* from;
        bool there;
    };
    // What is read too early is NaN.
    std::vector<Copy> begun;

    void begin(void* to, const void* from, bool there) {
        std::memset(to, emulate::POISON, 16);
        begun.push_back({to, from, there});
    }
    void wait() {
        for (const Copy& copy : begun) copy.there ? std::memcpy(copy.to, copy.from, 16) : std::memset(copy.to, 0, 16);
        begun.clear();
    }
#else
    // Zeros where it is not `there`.
    __device__ __forceinline__ void begin(void* to, const void* from, bool there) {
        const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(address), "l"(from), "r"(there ? 16 : 0) : "memory");
    }
    __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_all;" : : : "memory"); }
#endif
};

// Begins to bring `count` rows of `d` columns from (row, column) on into a tile of COLUMNS rows, zeros around them. All threads
// of the block take part.
DEVICE void bring(Copies& copies, const Tensor& from, size_t row, int count, int column, int d, REAL* tile) {
    // A thread copies AT_ONCE columns of every APART-th row.
    constexpr int AT_ONCE = 16 / sizeof(REAL), APART = 32 * TILE_WARPS / (HEAD / AT_ONCE);
    const bool vectors = (from.stride | column | d) % AT_ONCE == 0 && (reinterpret_cast<size_t>(from.data) & 15) == 0;
    const int first = threadIdx.x / (HEAD / AT_ONCE), c = threadIdx.x % (HEAD / AT_ONCE) * AT_ONCE;
    const REAL *start = static_cast<const REAL*>(from.data) + row * from.stride + column, *at = start + static_cast<size_t>(first) * from.stride + c;
    REAL* to = tile + first * PITCH + c;
    if (vectors) {
#pragma unroll
        for (int r = 0; r < COLUMNS; r += APART, at += static_cast<size_t>(APART) * from.stride) {
            const bool there = first + r < count && c < d;
            if (APART <= COLUMNS || first < COLUMNS) copies.begin(to + r * PITCH, there ? at : start, there);
        }
    } else {
#pragma unroll 1
        for (int r = 0; r < COLUMNS; r += APART, at += static_cast<size_t>(APART) * from.stride) {
            if (first + r >= COLUMNS) break;
#pragma unroll
            for (int n = 0; n < AT_ONCE; n++) to[r * PITCH + n] = first + r < count && c + n < d ? at[n] : REAL{};
        }
    }
}

// use(at, stage) for tiles one after the other, from `at` up to `end`, the next of which next(at) says; bring(copies, at, stage)
// begins to bring one to where that stage lies. All threads of the block take part.
template <class Next, class Bring, class Use>
DEVICE void each_tile(int at, int end, Next next, Bring bring, Use use) {
    Copies copies;
    int stage = 0;
    // What lies there may still be read.
    __syncthreads();
    if (at < end) bring(copies, at, stage);
#pragma unroll 1
    while (at < end) {
        const int then = next(at);
        copies.wait();
        // All copies are there, and nobody reads the other stage any more.
        __syncthreads();
        if (STAGES == 2 && then < end) bring(copies, then, stage ^ 1);
        use(at, stage);
        if (STAGES == 2) {
            stage ^= 1;
        } else {
            __syncthreads();
            if (then < end) bring(copies, then, stage);
        }
        at = then;
    }
}
