// Attention masks, per element and per tile: a fully visible tile needs no masking.
#pragma once
#include "tile.cuh"

// A Hebbian memory is processed in chunks of ROWS: a query looks up the items of its own chunk only, see carry.cuh.
enum Kind { SOFTMAX, HEBBIAN };

// The visible columns of a query: all slots, then the items of its window. Column `slots + lead + i` is the item of query i.
struct View {
    int slots;
    // Items of a ring, before the first query's own; some may be empty.
    int lead;
    // Index of the oldest item since the beginning of the sequence: 1 where item 0 is empty.
    int oldest;
    int window;
};

struct Mask {
    int slots, floor, lead, window;

    DEVICE Mask of(const View& v, unsigned clock) {
        const unsigned past = min(clock, 1u << 30);
        return {v.slots, v.slots + max(0, v.lead - static_cast<int>(past) + v.oldest), v.lead, v.window};
    }
    // For a Hebbian memory, limited to the chunk that begins at `first`.
    template <Kind KIND>
    DEVICE Mask of(const View& v, unsigned clock, int first) {
        Mask mask = of(v, clock);
        if (KIND == HEBBIAN) mask.floor = max(mask.floor, first);
        return mask;
    }
    __device__ __forceinline__ int from(int query) const { return max(floor, slots + lead + query - window + 1); }
    __device__ __forceinline__ int to(int query) const { return slots + lead + query + 1; }
    // Age of an item in positions, relative to the query.
    __device__ __forceinline__ int age(int query, int column) const { return slots + lead + query - column; }
};

// Visible columns of this warp's sixteen queries from `first` on, and of this lane's two rows.
struct RowMask {
    int slots, from[2], to[2];
    // Columns visible to all sixteen, in addition to the slots.
    int all_from, all_to;

    DEVICE RowMask of(const Mask& mask, int first, int queries) {
        RowMask visible = {mask.slots, {}, {}, mask.from(first + 15), first + 15 < queries ? mask.to(first) : 0};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int query = first + group() + 8 * half;
            visible.from[half] = mask.from(query);
            visible.to[half] = query < queries ? mask.to(query) : 0;
        }
        return visible;
    }
    // Whether all columns of the tile that begins at `column` are visible to all sixteen.
    __device__ __forceinline__ bool all_visible(int column) const {
        return column + COLUMNS <= slots || (column >= all_from && column + COLUMNS <= all_to);
    }
    __device__ __forceinline__ bool operator()(int half, int column) const {
        return (column < slots) | ((column >= from[half]) & (column < to[half]));
    }
};

// Queries that see this warp's sixteen items from `first` on, and this lane's two of them.
struct ColumnMask {
    int from[2], to[2];
    // Queries that see all sixteen.
    int all_from, all_to;

    // The first query that sees a column, and the end of the range.
    static __device__ __forceinline__ int begin(const Mask& mask, int column) { return column < mask.slots ? 0 : column - mask.slots - mask.lead; }
    static __device__ __forceinline__ int end(const Mask& mask, int column, int queries) {
        if (column < mask.slots) return queries;
        return column < mask.floor ? 0 : min(queries, begin(mask, column) + mask.window);
    }
    DEVICE ColumnMask of(const Mask& mask, int first, int queries) {
        // In a warp with slots and items, the first item is the first to leave the window.
        const int oldest = max(first, min(mask.slots, first + 15));
        ColumnMask visible = {{}, {}, begin(mask, first + 15), end(mask, oldest, queries)};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int column = first + group() + 8 * half;
            visible.from[half] = begin(mask, column);
            visible.to[half] = end(mask, column, queries);
        }
        return visible;
    }
    // Whether all sixteen items are visible to all queries of the tile that begins at `query`.
    __device__ __forceinline__ bool all_visible(int query) const { return query >= all_from && query + COLUMNS <= all_to; }
    __device__ __forceinline__ bool operator()(int half, int query) const { return (query >= from[half]) & (query < to[half]); }
};

// Sets invisible scores to a value far below all others, in a tile that is partly visible.
template <class Visible>
DEVICE void apply_mask(const Visible& visible, int column, float (&s)[SCORES][4]) {
#pragma unroll
    for (int n = 0; n < SCORES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] = visible(half_of(i), column + column_of(n, i)) ? s[n][i] : 2.0f * LOWEST;
}
