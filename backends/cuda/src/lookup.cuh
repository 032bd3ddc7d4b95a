// Looking things up in a memory of items, each a pattern and a value, with a tile of queries, and the gradients of that.
//
// A softmax memory weighs the items a query sees by softmax(query · pattern); a Hebbian one by γ^age (query · pattern). Scores
// never leave the registers (FlashAttention-2, Dao 2023): backward they are made anew from the saved logarithm of the
// softmax's denominator, in one pass over the rows for what flows into the queries and one over the columns for what flows
// into the items. So nothing is added up from two blocks.
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
    __device__ __forceinline__ bool sees(int query, int column) const {
        return column < slots || (column >= from(query) && column < to(query));
    }
    // How long before the query its item is.
    __device__ __forceinline__ int age(int query, int column) const { return slots + lead + query - column; }
};

// Where a head's items lie.
struct Items {
    Tensor of;
    // Row of the first, and how many there are.
    size_t row;
    int count;
    // First columns.
    int pattern, value;
    int head_dim;
};

// Rows of a packed tensor that hold the items of all heads: `rows` a sequence, heads side by side from two columns on.
struct Memory {
    Tensor of;
    int rows;
    int pattern, value;
};

DEVICE Items items_of(const Memory& m, int sequence, int head, int head_dim) {
    return {m.of, static_cast<size_t>(sequence) * m.rows, m.rows, m.pattern + head * head_dim, m.value + head * head_dim, head_dim};
}

// Weight of a Hebbian item.
DEVICE float forgotten(float log2_decay, int age) { return exp2f(log2_decay * age); }

// read = weights · values and, if `move`, moved = weights · patterns, for the block's queries from `first` on; `log_sum` is the
// logarithm of a softmax's denominator, 0 where nothing is seen (which reads zeros). `tiles`: two of COLUMNS rows.
template <Kind KIND>
DEVICE void look_up(const Sight& sight, int first, int queries, const Items& items, const REAL* query, bool move, float log2_decay, REAL* tiles,
                    float (&read)[BLOCKS][4], float (&moved)[BLOCKS][4], float (&log_sum)[2]) {
    REAL *patterns = tiles, *values = tiles + COLUMNS * PITCH;
    float top[2] = {FAR_BELOW, FAR_BELOW}, sum[2] = {};
    clear(read);
    clear(moved);
    const int last = min(first + ROWS, queries) - 1, from = sight.from(first), end = min(items.count, max(sight.slots, sight.to(last)));
#pragma unroll 1
    for (int column = sight.slots ? 0 : from / COLUMNS * COLUMNS; column < end; column += COLUMNS) {
        if (column >= sight.slots && column + COLUMNS <= from) continue;
        __syncthreads();
        const int count = min(COLUMNS, items.count - column);
        load_tile(items.of, items.row + column, count, COLUMNS, items.pattern, items.head_dim, 1.0f, patterns);
        load_tile(items.of, items.row + column, count, COLUMNS, items.value, items.head_dim, 1.0f, values);
        __syncthreads();
        float s[SCORES][4];
        clear(s);
        scores(query + warp() * 16 * PITCH, patterns, s);
        if (KIND == SOFTMAX) {
            float before[2] = {top[0], top[1]};
#pragma unroll
            for (int n = 0; n < SCORES; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    if (!sight.sees(first + row_of(half_of(i)), column + column_of(n, i))) s[n][i] = 2.0f * FAR_BELOW;
                    top[half_of(i)] = fmaxf(top[half_of(i)], s[n][i]);
                }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                top[half] = quad_max(top[half]);
                const float shrink = expf(before[half] - top[half]);
                sum[half] *= shrink;
#pragma unroll
                for (int n = 0; n < BLOCKS; n++) {
                    read[n][2 * half] *= shrink, read[n][2 * half + 1] *= shrink;
                    moved[n][2 * half] *= shrink, moved[n][2 * half + 1] *= shrink;
                }
            }
#pragma unroll
            for (int n = 0; n < SCORES; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    s[n][i] = expf(s[n][i] - top[half_of(i)]);
                    sum[half_of(i)] += s[n][i];
                }
        } else {
#pragma unroll
            for (int n = 0; n < SCORES; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int q = first + row_of(half_of(i)), c = column + column_of(n, i);
                    s[n][i] = sight.sees(q, c) ? s[n][i] * forgotten(log2_decay, sight.age(q, c)) : 0.0f;
                }
        }
        weigh(s, values, read);
        if (move) weigh(s, patterns, moved);
    }
    if (KIND == HEBBIAN) return;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float all = quad_sum(sum[half]), scale = all > 0.0f ? 1.0f / all : 0.0f;
        log_sum[half] = all > 0.0f ? top[half] + logf(all) : 0.0f;
#pragma unroll
        for (int n = 0; n < BLOCKS; n++) {
            read[n][2 * half] *= scale, read[n][2 * half + 1] *= scale;
            moved[n][2 * half] *= scale, moved[n][2 * half + 1] *= scale;
        }
    }
}

// What flows back into a tile of queries.
struct Flow {
    // Tiles of ROWS: the queries, the gradient of what they read, and that of `moved` (null where nothing moved).
    const REAL *query, *d_read, *d_moved;
    // Of this lane's rows; d_read · read + d_moved · moved. A Hebbian memory has neither.
    float log_sum[2], balance[2];
};

// What a pass over rows finds beside the queries' gradient: Σ weight (d_moved · pattern), and Σ age · weight · slope.
struct Found {
    float moved, age;

    __device__ __forceinline__ void operator+=(const Found& other) { moved += other.moved, age += other.age; }
};

// d_query = the gradient of the queries, written. `tiles`: two of COLUMNS rows.
template <Kind KIND>
DEVICE Found look_up_rows_grad(const Sight& sight, int first, int queries, const Items& items, const Flow& flow, float log2_decay, REAL* tiles,
                               float (&d_query)[BLOCKS][4]) {
    REAL *patterns = tiles, *values = tiles + COLUMNS * PITCH;
    const int own = warp() * 16 * PITCH;
    Found found = {};
    clear(d_query);
    const int last = min(first + ROWS, queries) - 1, from = sight.from(first), end = min(items.count, max(sight.slots, sight.to(last)));
#pragma unroll 1
    for (int column = sight.slots ? 0 : from / COLUMNS * COLUMNS; column < end; column += COLUMNS) {
        if (column >= sight.slots && column + COLUMNS <= from) continue;
        __syncthreads();
        const int count = min(COLUMNS, items.count - column);
        load_tile(items.of, items.row + column, count, COLUMNS, items.pattern, items.head_dim, 1.0f, patterns);
        load_tile(items.of, items.row + column, count, COLUMNS, items.value, items.head_dim, 1.0f, values);
        __syncthreads();
        float s[SCORES][4], slope[SCORES][4], along[SCORES][4];
        clear(s);
        clear(slope);
        clear(along);
        scores(flow.query + own, patterns, s);
        scores(flow.d_read + own, values, slope);
        if (flow.d_moved) scores(flow.d_moved + own, patterns, along);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int q = first + row_of(half_of(i)), c = column + column_of(n, i), half = half_of(i);
                const bool sees = q < queries && sight.sees(q, c);
                if (KIND == SOFTMAX) {
                    const float weight = sees ? expf(s[n][i] - flow.log_sum[half]) : 0.0f;
                    slope[n][i] = weight * (slope[n][i] + along[n][i] - flow.balance[half]);
                } else {
                    const int age = sight.age(q, c);
                    const float kept = sees ? forgotten(log2_decay, age) : 0.0f;
                    found.moved += kept * s[n][i] * along[n][i];
                    slope[n][i] = kept * (slope[n][i] + along[n][i]);
                    found.age += sees ? age * s[n][i] * slope[n][i] : 0.0f;
                }
            }
        weigh(slope, patterns, d_query);
    }
    return found;
}

// Where the rows of a pass over columns lie: those of one head and refinement.
struct Queries {
    Tensor scaled, d_read, d_moved;
    // What is still to be multiplied into `scaled`.
    float factor;
    size_t row;
    // First columns of the scaled queries, and of both gradients.
    int column, d_column;
    // Of the first query, and how far on the next one's lie.
    const float *log_sum, *balance;
    int log_sum_stride, balance_stride;
};

// d_pattern and d_value += what all queries want of the block's ROWS columns from `first` on. `patterns`, `values`: those of the
// block; `tiles`: three of COLUMNS rows; `numbers`: two of COLUMNS.
template <Kind KIND>
DEVICE void look_up_columns_grad(const Sight& sight, int first, int queries, int head_dim, const Queries& of, bool move, float log2_decay,
                                 const REAL* patterns, const REAL* values, REAL* tiles, float* numbers, float (&d_pattern)[BLOCKS][4],
                                 float (&d_value)[BLOCKS][4]) {
    REAL *scaled = tiles, *d_read = tiles + COLUMNS * PITCH, *d_moved = tiles + 2 * COLUMNS * PITCH;
    float *log_sum = numbers, *balance = numbers + COLUMNS;
    const int own = warp() * 16 * PITCH;
    // Queries before the block's first item see none of it, nor do those whose window has gone past its last one.
    const int begin = first < sight.slots ? 0 : first - sight.slots - sight.lead;
    int end = first < sight.slots ? queries : static_cast<int>(min(static_cast<long long>(queries), first + ROWS - 1ll - sight.slots - sight.lead + sight.window));
    if (KIND == HEBBIAN) end = min(end, first + ROWS);
#pragma unroll 1
    for (int query = max(0, begin) / COLUMNS * COLUMNS; query < end; query += COLUMNS) {
        __syncthreads();
        const int count = min(COLUMNS, queries - query);
        load_tile(of.scaled, of.row + query, count, COLUMNS, of.column, head_dim, of.factor, scaled);
        load_tile(of.d_read, of.row + query, count, COLUMNS, of.d_column, head_dim, 1.0f, d_read);
        if (move) load_tile(of.d_moved, of.row + query, count, COLUMNS, of.d_column, head_dim, 1.0f, d_moved);
        if (KIND == SOFTMAX && static_cast<int>(threadIdx.x) < count) {
            log_sum[threadIdx.x] = of.log_sum[static_cast<size_t>(query + threadIdx.x) * of.log_sum_stride];
            balance[threadIdx.x] = of.balance[static_cast<size_t>(query + threadIdx.x) * of.balance_stride];
        }
        __syncthreads();
        float s[SCORES][4], slope[SCORES][4];
        clear(s);
        clear(slope);
        scores(patterns + own, scaled, s);
        scores(values + own, d_read, slope);
        if (move) scores(patterns + own, d_moved, slope);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int q = query + column_of(n, i), c = first + row_of(half_of(i));
                const bool sees = q < queries && sight.sees(q, c);
                if (KIND == SOFTMAX) {
                    const float weight = sees ? expf(s[n][i] - log_sum[column_of(n, i)]) : 0.0f;
                    slope[n][i] = sees ? weight * (slope[n][i] - balance[column_of(n, i)]) : 0.0f;
                    s[n][i] = weight;
                } else {
                    const float kept = sees ? forgotten(log2_decay, sight.age(q, c)) : 0.0f;
                    slope[n][i] *= kept;
                    s[n][i] *= kept;
                }
            }
        weigh(s, d_read, d_value);
        weigh(slope, scaled, d_pattern);
        if (move) weigh(s, d_moved, d_pattern);
    }
}
