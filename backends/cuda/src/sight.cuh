// Which items of a memory a query sees, one by one and for whole tiles: a tile that is seen whole needs no mask.
#pragma once
#include "tile.cuh"

// A Hebbian memory is looked up chunk by chunk of ROWS: a query finds the items of its own one, see carry.cuh.
enum Kind { SOFTMAX, HEBBIAN };

// Which columns a query sees: all slots, then the items of its window. Item `slots + lead + i` is that of query i.
struct View {
    int slots;
    // Items in front of the first query's own, a ring's; some of them may not be there yet.
    int lead;
    // Number of the oldest item that there is, since the beginning of all: 1 where item 0 is empty.
    int oldest;
    int window;
};

struct Sight {
    int slots, floor, lead, window;

    DEVICE Sight of(const View& v, unsigned clock) {
        const unsigned past = min(clock, 1u << 30);
        return {v.slots, v.slots + max(0, v.lead - static_cast<int>(past) + v.oldest), v.lead, v.window};
    }
    // Of the chunk that begins at `first`, where the memory is Hebbian.
    template <Kind KIND>
    DEVICE Sight of(const View& v, unsigned clock, int first) {
        Sight sight = of(v, clock);
        if (KIND == HEBBIAN) sight.floor = max(sight.floor, first);
        return sight;
    }
    __device__ __forceinline__ int from(int query) const { return max(floor, slots + lead + query - window + 1); }
    __device__ __forceinline__ int to(int query) const { return slots + lead + query + 1; }
    // How long before the query its item is.
    __device__ __forceinline__ int age(int query, int column) const { return slots + lead + query - column; }
};

// What this warp's sixteen queries from `first` on see, and this lane's two of them.
struct Seen {
    int slots, from[2], to[2];
    // Which columns all of them see beside the slots.
    int all_from, all_to;

    DEVICE Seen of(const Sight& sight, int first, int queries) {
        Seen seen = {sight.slots, {}, {}, sight.from(first + 15), first + 15 < queries ? sight.to(first) : 0};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int query = first + group() + 8 * half;
            seen.from[half] = sight.from(query);
            seen.to[half] = query < queries ? sight.to(query) : 0;
        }
        return seen;
    }
    // Whether all of them see all columns of the tile that begins at `column`.
    __device__ __forceinline__ bool whole(int column) const {
        return column + COLUMNS <= slots || (column >= all_from && column + COLUMNS <= all_to);
    }
    __device__ __forceinline__ bool operator()(int half, int column) const {
        return (column < slots) | ((column >= from[half]) & (column < to[half]));
    }
};

// Which queries see the columns of this warp's sixteen rows from `first` on, and those of this lane's two of them.
struct SeenBy {
    int from[2], to[2];
    // Which see all sixteen.
    int all_from, all_to;

    // The first query that sees a column, and that behind the last.
    static __device__ __forceinline__ int begin(const Sight& sight, int column) { return column < sight.slots ? 0 : column - sight.slots - sight.lead; }
    static __device__ __forceinline__ int end(const Sight& sight, int column, int queries) {
        if (column < sight.slots) return queries;
        return column < sight.floor ? 0 : min(queries, begin(sight, column) + sight.window);
    }
    DEVICE SeenBy of(const Sight& sight, int first, int queries) {
        // Of a warp with slots and items in it, the first item is forgotten first.
        const int oldest = max(first, min(sight.slots, first + 15));
        SeenBy seen = {{}, {}, begin(sight, first + 15), end(sight, oldest, queries)};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int column = first + group() + 8 * half;
            seen.from[half] = begin(sight, column);
            seen.to[half] = end(sight, column, queries);
        }
        return seen;
    }
    // Whether all rows are seen by all queries of the tile that begins at `query`.
    __device__ __forceinline__ bool whole(int query) const { return query >= all_from && query + COLUMNS <= all_to; }
    __device__ __forceinline__ bool operator()(int half, int query) const { return (query >= from[half]) & (query < to[half]); }
};

// Scores of what nobody sees, in a tile that is not seen whole: far below all others.
template <class Sees>
DEVICE void blind(const Sees& sees, int column, float (&s)[SCORES][4]) {
#pragma unroll
    for (int n = 0; n < SCORES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] = sees(half_of(i), column + column_of(n, i)) ? s[n][i] : 2.0f * FAR_BELOW;
}
