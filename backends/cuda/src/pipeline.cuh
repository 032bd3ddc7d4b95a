// A software pipeline of tiles from global to shared memory: each is copied (cp.async) while the previous one is used.
#pragma once
#include "tile.cuh"

// Pipeline stages, as in lookup.rs: one in f32, since tiles of wide heads fill the shared memory of a block.
constexpr int STAGES = sizeof(REAL) == 2 ? 2 : 1;

// This thread's outstanding asynchronous copies of 16 bytes.
struct Copies {
#ifdef HH_EMULATE
    struct Copy {
        void* to;
        const void* from;
        bool valid;
    };
    // The destination is NaN until the copy is waited for.
    std::vector<Copy> begun;

    void begin(void* to, const void* from, bool valid) {
        std::memset(to, emulate::POISON, 16);
        begun.push_back({to, from, valid});
    }
    void wait() {
        for (const Copy& copy : begun) copy.valid ? std::memcpy(copy.to, copy.from, 16) : std::memset(copy.to, 0, 16);
        begun.clear();
    }
#else
    // Copies zeros if not `valid`.
    __device__ __forceinline__ void begin(void* to, const void* from, bool valid) {
        const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(address), "l"(from), "r"(valid ? 16 : 0) : "memory");
    }
    __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_all;" : : : "memory"); }
#endif
};

// Starts copying `count` rows of `d` columns from (row, column) on to a tile of COLUMNS rows, padded with zeros. Called by all
// threads of the block.
DEVICE void copy_async(Copies& copies, const Tensor& from, size_t row, int count, int column, int d, REAL* tile) {
    // A thread copies VECTOR columns of every ROW_STEP-th row.
    constexpr int VECTOR = 16 / sizeof(REAL), ROW_STEP = 32 * TILE_WARPS / (HEAD / VECTOR);
    const bool vectors = (from.stride | column | d) % VECTOR == 0 && (reinterpret_cast<size_t>(from.data) & 15) == 0;
    const int first = threadIdx.x / (HEAD / VECTOR), c = threadIdx.x % (HEAD / VECTOR) * VECTOR;
    const REAL *start = static_cast<const REAL*>(from.data) + row * from.stride + column, *at = start + static_cast<size_t>(first) * from.stride + c;
    REAL* to = tile + first * PITCH + c;
    if (vectors) {
#pragma unroll
        for (int r = 0; r < COLUMNS; r += ROW_STEP, at += static_cast<size_t>(ROW_STEP) * from.stride) {
            const bool valid = first + r < count && c < d;
            if (ROW_STEP <= COLUMNS || first < COLUMNS) copies.begin(to + r * PITCH, valid ? at : start, valid);
        }
    } else {
#pragma unroll 1
        for (int r = 0; r < COLUMNS; r += ROW_STEP, at += static_cast<size_t>(ROW_STEP) * from.stride) {
            if (first + r >= COLUMNS) break;
#pragma unroll
            for (int n = 0; n < VECTOR; n++) to[r * PITCH + n] = first + r < count && c + n < d ? at[n] : REAL{};
        }
    }
}

// Calls use(at, stage) for the tiles at, next(at), … below `end`; begin_copy(copies, at, stage) starts the copy of a tile to the
// memory of a stage. Called by all threads of the block.
template <class Next, class Begin, class Use>
DEVICE void each_tile(int at, int end, Next next, Begin begin_copy, Use use) {
    Copies copies;
    int stage = 0;
    // Other threads may still read the memory of the stages.
    __syncthreads();
    if (at < end) begin_copy(copies, at, stage);
#pragma unroll 1
    while (at < end) {
        const int next_at = next(at);
        copies.wait();
        // All copies have arrived, and no thread reads the other stage.
        __syncthreads();
        if (STAGES == 2 && next_at < end) begin_copy(copies, next_at, stage ^ 1);
        use(at, stage);
        if (STAGES == 2) {
            stage ^= 1;
        } else {
            __syncthreads();
            if (next_at < end) begin_copy(copies, next_at, stage);
        }
        at = next_at;
    }
}
