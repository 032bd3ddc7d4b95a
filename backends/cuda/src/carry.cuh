// The state that a chunk of ROWS items of a classic memory carries to all later chunks, so that the cost is O(T) and not O(T²):
// two matrices per head, M = Σ γ^age pattern ⊗ [pattern | value] over the items before a chunk, with ages relative to its first
// query. Within a chunk items are looked up directly (lookup.cuh); query i of it reads γ^i ξ M for earlier items. The chunked
// form of Gated Linear Attention (Yang et al. 2024), with one decay per head.
//
// Computing M or its gradient takes 4 · B · H · T · d² operations (the gradient K times as many), reading it as many as looking
// up d more items. Bytes: computing it, the items once (its gradient: M once, and K times the queries and both their gradients)
// and 2d² elements for each of the B · H · T / ROWS chunks; reading it, those elements K times.
#pragma once
#include "lookup.cuh"

// [B·H·chunks·d, 2d]: for each chunk [pattern matrix | value matrix]; M before the chunk, or its gradient after the chunk.
struct Carry {
    Tensor of;
    int chunks;
};

DEVICE size_t carry_row(const Carry& c, int sequence, int head, int chunk, int d) {
    return ((static_cast<size_t>(sequence) * gridDim.y + head) * c.chunks + chunk) * d;
}

// 8 · SCORES columns of an accumulator, from fragment `m` on, times a factor for each of this lane's rows.
DEVICE void part_of(const float (&x)[FRAGMENTS][4], int m, const float (&factor)[2], float (&part)[SCORES][4]) {
#pragma unroll
    for (int n = 0; n < SCORES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) part[n][i] = m + n < FRAGMENTS ? factor[half_of(i)] * x[min(m + n, FRAGMENTS - 1)][i] : 0.0f;
}

// Loads the rows of both matrices that correspond to the columns from fragment `m` on. Called by all threads of the block.
DEVICE void load_carry(const Carry& c, size_t row, int m, int d, REAL* patterns, REAL* values) {
    __syncthreads();
    load_tile(c.of, row + 8 * m, d - 8 * m, COLUMNS, 0, d, 1.0f, patterns);
    load_tile(c.of, row + 8 * m, d - 8 * m, COLUMNS, d, d, 1.0f, values);
    __syncthreads();
}

// read += γ^i ξ · values and, if `move`, moved += γ^i ξ · patterns. `tiles`: two of COLUMNS rows.
DEVICE void read_carry(const Carry& c, size_t row, int d, float log2_decay, const float (&xi)[FRAGMENTS][4], bool move, REAL* tiles,
                       float (&read)[FRAGMENTS][4], float (&moved)[FRAGMENTS][4]) {
    const float kept[2] = {decay_power(log2_decay, row_of(0)), decay_power(log2_decay, row_of(1))};
#pragma unroll
    for (int m = 0; m < FRAGMENTS; m += SCORES) {
        if (8 * m >= d) break;
        load_carry(c, row, m, d, tiles, tiles + COLUMNS * PITCH);
        float part[SCORES][4];
        part_of(xi, m, kept, part);
        weigh(part, tiles + COLUMNS * PITCH, read);
        if (move) weigh(part, tiles, moved);
    }
}

// d_query += the queries' gradient through the matrices. `tiles`: two of COLUMNS rows.
DEVICE ScalarGrads read_carry_grad(const Carry& c, size_t row, int d, float log2_decay, const OutGrad& out_grad, REAL* tiles, float (&d_query)[FRAGMENTS][4]) {
    const int own = warp() * 16 * PITCH;
    ScalarGrads scalars = {};
#pragma unroll
    for (int m = 0; m < FRAGMENTS; m += SCORES) {
        if (8 * m >= d) break;
        load_carry(c, row, m, d, tiles, tiles + COLUMNS * PITCH);
        float slope[SCORES][4], along[SCORES][4];
        clear(slope);
        clear(along);
        scores(out_grad.d_read + own, tiles + COLUMNS * PITCH, slope);
        if (out_grad.d_moved) scores(out_grad.d_moved + own, tiles, along);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (m + n >= FRAGMENTS) continue;
                const int t = row_of(half_of(i));
                const float kept = decay_power(log2_decay, t), query = wide(out_grad.query[t * PITCH + column_of(m + n, i)]);
                slope[n][i] = kept * (slope[n][i] + along[n][i]);
                scalars.moved += kept * query * along[n][i];
                scalars.age += t * query * slope[n][i];
                d_query[min(m + n, FRAGMENTS - 1)][i] += slope[n][i];
            }
    }
    return scalars;
}

// d_pattern and d_value += the gradient that later chunks send to this chunk's items, through the matrices after it. Returns
// Σ age · weight · slope, with ages at the end of the chunk. `tiles`: two of COLUMNS rows.
DEVICE float carry_item_grad(const Carry& d_carry, size_t row, int d, float log2_decay, const REAL* patterns, const REAL* values, REAL* tiles,
                          float (&d_pattern)[FRAGMENTS][4], float (&d_value)[FRAGMENTS][4]) {
    const int own = warp() * 16 * PITCH;
    float age_sum = 0.0f;
#pragma unroll
    for (int m = 0; m < FRAGMENTS; m += SCORES) {
        if (8 * m >= d) break;
        load_carry(d_carry, row, m, d, tiles, tiles + COLUMNS * PITCH);
        float part[SCORES][4], slope[SCORES][4];
        clear(slope);
        scores(patterns + own, tiles, slope);
        scores(values + own, tiles + COLUMNS * PITCH, slope);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int t = row_of(half_of(i)), fragment = min(m + n, FRAGMENTS - 1);
                const float kept = decay_power(log2_decay, ROWS - t);
                part[n][i] = m + n < FRAGMENTS ? kept * wide(patterns[t * PITCH + column_of(fragment, i)]) : 0.0f;
                if (m + n >= FRAGMENTS) continue;
                age_sum += (ROWS - t) * part[n][i] * slope[n][i];
                d_pattern[fragment][i] += kept * slope[n][i];
            }
        weigh(part, tiles, d_pattern);
        weigh(part, tiles + COLUMNS * PITCH, d_value);
    }
    return age_sum;
}

// Rows of the transposed tile, from column `first` on, times γ^(age + step · row of the tile).
DEVICE void transposed_rows(const REAL* tile, int first, int d, float log2_decay, int age, int step, float (&x)[SCORES][4]) {
#pragma unroll
    for (int n = 0; n < SCORES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = column_of(n, i), column = first + row_of(half_of(i));
            x[n][i] = column < d ? decay_power(log2_decay, age + step * row) * wide(tile[row * PITCH + column]) : 0.0f;
        }
}
