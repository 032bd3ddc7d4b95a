// Modern and classic Hopfield memory: K refinements of a tile of ROWS queries of a head in one kernel, with the queries in
// registers. With n the mean number of visible items (M + T / 2, or M + the window): forward (4K − 2) · B · H · T · n · 2d
// operations (the last refinement reads only values), bytes of the items, the queries, y and the saved activations; backward
// about 3 times the operations in two passes, one over rows for the chain of refinements, one over columns for patterns and
// values.
#pragma once
#include "carry.cuh"

// Inputs of both kinds and directions. β multiplies the scores of a modern memory, and the sum inside tanh of a classic one.
struct Refinement {
    // q is in the first columns.
    Tensor qpv;
    Memory memory;
    View view;
    // [B, T, K]: the mixture over depths, after its softmax.
    const float* weights;
    Tensor log_beta;
    // [H], absent for a modern memory; γ = σ(decay).
    Tensor decay;
    // For a classic memory of several chunks, else absent; in the pass over columns its gradient.
    Carry carry;
    int time, head_dim, depth;
};

// Saved: [B, T, K·w], [B, T, K·w], [B, T, K·H].
struct Saved {
    Tensor reads, moved, log_sum;
};

DEVICE float log2_decay(const Refinement& a, int head) { return present(a.decay) ? -log2f(1.0f + expf(-get(a.decay, head))) : 0.0f; }
// ∂γ^age / ∂decay = age · γ^age · (1 − γ): the factor 1 − γ, which does not depend on age.
DEVICE float age_slope(const Refinement& a, int head) { return present(a.decay) ? sigmoid(-get(a.decay, head)) : 0.0f; }

template <Kind KIND>
DEVICE void refine(const Refinement& a, const unsigned* clock, const Saved& kept, const Tensor& y) {
    DYNAMIC_SHARED(REAL, tiles);  // ROWS rows, and 2 · COLUMNS per stage
    const int first = blockIdx.x * ROWS, head = blockIdx.y, heads = gridDim.y, sequence = blockIdx.z, rows = min(ROWS, a.time - first);
    const int d = a.head_dim, column = head * d, width = heads * d;
    const size_t row = static_cast<size_t>(sequence) * a.time + first;
    const Mask mask = Mask::of<KIND>(a.view, clock ? *clock : 0, first);
    const Items items = items_of(a.memory, sequence, head, d);
    const float beta = expf(get(a.log_beta, head)), decay = log2_decay(a, head);
    float xi[FRAGMENTS][4], sum[FRAGMENTS][4], read[FRAGMENTS][4], moved[FRAGMENTS][4], log_sum[2] = {};
    load_rows<REAL>(a.qpv, row, rows, column, d, xi);
    make_unit(xi);
    clear(sum);
#pragma unroll 1
    for (int k = 0; k < a.depth; k++) {
        const bool move = k + 1 < a.depth;
        __syncwarp();
        put_tile(xi, KIND == SOFTMAX ? beta : 1.0f, tiles);
        __syncwarp();
        look_up<KIND>(mask, first, a.time, items, tiles, move, decay, tiles + ROWS * PITCH, read, moved, log_sum);
        if (KIND == HEBBIAN && present(a.carry.of))
            read_carry(a.carry, carry_row(a.carry, sequence, head, blockIdx.x, d), d, decay, xi, move, tiles + ROWS * PITCH, read, moved);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            if (row_of(half) >= rows) continue;
            const float weight = a.weights[(row + row_of(half)) * a.depth + k];
#pragma unroll
            for (int n = 0; n < FRAGMENTS; n++) {
                sum[n][2 * half] += weight * read[n][2 * half];
                sum[n][2 * half + 1] += weight * read[n][2 * half + 1];
            }
            if (KIND == SOFTMAX && present(kept.log_sum) && pair() == 0)
                static_cast<float*>(kept.log_sum.data)[(row + row_of(half)) * kept.log_sum.stride + k * heads + head] = log_sum[half];
        }
        if (present(kept.reads)) store_rows<float>(read, kept.reads, row, rows, k * width + column, d);
        if (!move) break;
#pragma unroll
        for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) xi[n][i] += KIND == SOFTMAX ? moved[n][i] : tanhf(beta * moved[n][i]);
        if (present(kept.moved)) store_rows<float>(xi, kept.moved, row, rows, k * width + column, d);
        make_unit(xi);
    }
    store_rows<REAL>(sum, y, row, rows, column, d);
}

// Outputs of the pass over rows that the pass over columns reads, for all refinements: [K, B·T, w] each, and [K, B·T, H].
struct RowPass {
    Tensor scaled, d_read, d_moved;
    float* delta;
    // Rows per refinement, B·T; K is the outermost dimension.
    int rows;
};

template <Kind KIND>
DEVICE void refine_rows(const Refinement& a, const Saved& kept, const Tensor& dy, const RowPass& row_pass, const Tensor& d_qpv, float* partial) {
    DYNAMIC_SHARED(REAL, tiles);  // 3 · ROWS rows, and 2 · COLUMNS per stage
    SHARED(float, sums, 2 * TILE_WARPS);
    const int first = blockIdx.x * ROWS, head = blockIdx.y, heads = gridDim.y, sequence = blockIdx.z, rows = min(ROWS, a.time - first);
    const int d = a.head_dim, column = head * d, width = heads * d;
    const size_t row = static_cast<size_t>(sequence) * a.time + first;
    const Mask mask = Mask::of<KIND>(a.view, 0, first);
    const Items items = items_of(a.memory, sequence, head, d);
    const float beta = expf(get(a.log_beta, head)), decay = log2_decay(a, head), factor = KIND == SOFTMAX ? beta : 1.0f;
    REAL *read_tile = tiles + ROWS * PITCH, *moved_tile = read_tile + ROWS * PITCH;
    float d_log_beta = 0.0f, d_age = 0.0f;
    float d_next[FRAGMENTS][4], xi[FRAGMENTS][4], d_read[FRAGMENTS][4], moved[FRAGMENTS][4], d_query[FRAGMENTS][4];
    clear(d_next);
#pragma unroll 1
    for (int k = a.depth - 1; k >= 0; k--) {
        const bool move = k + 1 < a.depth;
        OutGrad out_grad = {tiles, read_tile, move ? moved_tile : nullptr, {}, {}};
        const size_t pass_row = static_cast<size_t>(k) * row_pass.rows + row;
        if (k == 0)
            load_rows<REAL>(a.qpv, row, rows, column, d, xi);
        else
            load_rows<float>(kept.moved, row, rows, (k - 1) * width + column, d, xi);
        make_unit(xi);
        load_rows<REAL>(dy, row, rows, column, d, d_read);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float weight = row_of(half) < rows ? a.weights[(row + row_of(half)) * a.depth + k] : 0.0f;
#pragma unroll
            for (int n = 0; n < FRAGMENTS; n++) d_read[n][2 * half] *= weight, d_read[n][2 * half + 1] *= weight;
        }
        if (KIND == SOFTMAX) {
            load_rows<float>(kept.reads, row, rows, k * width + column, d, moved);
            row_dots(d_read, moved, out_grad.delta);
        }
        __syncwarp();
        put_tile(xi, factor, tiles);
        put_tile(d_read, 1.0f, read_tile);
        store_rows<REAL>(d_read, row_pass.d_read, pass_row, rows, column, d);
        if (move) {
            load_rows<float>(kept.moved, row, rows, k * width + column, d, moved);
            unit_grad(moved, d_next);
            // From here `moved` is the update of ξ, Σ weight · pattern or its tanh, then the gradient of the sum.
#pragma unroll
            for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) moved[n][i] -= xi[n][i];
            if (KIND == SOFTMAX) {
                float along[2];
                row_dots(d_next, moved, along);
                out_grad.delta[0] += along[0], out_grad.delta[1] += along[1];
            }
#pragma unroll
            for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) moved[n][i] = KIND == SOFTMAX ? d_next[n][i] : beta * (1.0f - moved[n][i] * moved[n][i]) * d_next[n][i];
            put_tile(moved, 1.0f, moved_tile);
            store_rows<REAL>(moved, row_pass.d_moved, pass_row, rows, column, d);
        }
        scale(xi, factor);
        store_rows<REAL>(xi, row_pass.scaled, pass_row, rows, column, d);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            if (KIND == HEBBIAN || row_of(half) >= rows) continue;
            out_grad.log_sum[half] = static_cast<const float*>(kept.log_sum.data)[(row + row_of(half)) * kept.log_sum.stride + k * heads + head];
            if (pair() == 0) row_pass.delta[(pass_row + row_of(half)) * heads + head] = out_grad.delta[half];
        }
        __syncwarp();
        ScalarGrads scalars = look_up_rows_grad<KIND>(mask, first, a.time, items, out_grad, decay, moved_tile + ROWS * PITCH, d_query);
        if (KIND == HEBBIAN && present(a.carry.of))
            scalars += read_carry_grad(a.carry, carry_row(a.carry, sequence, head, blockIdx.x, d), d, decay, out_grad, moved_tile + ROWS * PITCH, d_query);
        d_log_beta += scalars.moved;
        d_age += scalars.age;
#pragma unroll
        for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (KIND == SOFTMAX) d_log_beta += xi[n][i] * d_query[n][i];
                d_next[n][i] = factor * d_query[n][i] + (move ? d_next[n][i] : 0.0f);
            }
    }
    load_rows<REAL>(a.qpv, row, rows, column, d, xi);
    unit_grad(xi, d_next);
    store_rows<REAL>(d_next, d_qpv, row, rows, column, d);
    // [B · blocks, 2, H]: log_beta, then decay.
    d_log_beta = block_sum(d_log_beta, sums);
    d_age = block_sum(d_age, sums + TILE_WARPS);
    if (threadIdx.x > 0) return;
    float* to = partial + (static_cast<size_t>(sequence) * gridDim.x + blockIdx.x) * 2 * heads + head;
    to[0] = d_log_beta;
    to[heads] = d_age * age_slope(a, head);
}

// Gradients of patterns and values of ROWS items. `partial` receives the gradients of slots, [B, H, M, unit pattern | value], or
// of a classic memory's decay through the carried matrices, [B · blocks, H].
template <Kind KIND>
DEVICE void refine_columns(const Refinement& a, const Saved& kept, const RowPass& row_pass, int successor, const Tensor& d_qpv, float* partial) {
    DYNAMIC_SHARED(REAL, tiles);  // 2 · ROWS rows, and 3 · COLUMNS per stage, then 2 · COLUMNS f32 per stage
    const int first = blockIdx.x * ROWS, head = blockIdx.y, heads = gridDim.y, sequence = blockIdx.z, slots = a.view.slots;
    const int d = a.head_dim, column = head * d, width = heads * d, count = min(ROWS, slots + a.time - first);
    const size_t start = static_cast<size_t>(sequence) * a.time;
    const Items items = items_of(a.memory, sequence, head, d);
    const float decay = log2_decay(a, head);
    REAL *values = tiles + ROWS * PITCH, *working = values + ROWS * PITCH;
    load_tile(items.of, items.row + first, count, ROWS, items.pattern, d, 1.0f, tiles);
    load_tile(items.of, items.row + first, count, ROWS, items.value, d, 1.0f, values);
    float d_pattern[FRAGMENTS][4], d_value[FRAGMENTS][4], pattern[FRAGMENTS][4];
    clear(d_pattern);
    clear(d_value);
#pragma unroll 1
    for (int k = 0; k < a.depth; k++) {
        const size_t row = static_cast<size_t>(k) * row_pass.rows + start;
        const float* log_sum = static_cast<const float*>(kept.log_sum.data) + start * kept.log_sum.stride + k * heads + head;
        const Queries queries = {row_pass.scaled,   row_pass.d_read, row_pass.d_moved, 1.0f, row, column, column, KIND == SOFTMAX ? log_sum : nullptr,
                                 row_pass.delta + row * heads + head, kept.log_sum.stride, heads};
        look_up_columns_grad<KIND>(Mask::of(a.view, 0), first, a.time, d, queries, k + 1 < a.depth, decay, tiles, values, working,
                                   reinterpret_cast<float*>(working + STAGES * 3 * COLUMNS * PITCH), d_pattern, d_value);
    }
    if (KIND == HEBBIAN && present(a.carry.of)) {
        SHARED(float, sums, TILE_WARPS);
        const size_t from = carry_row(a.carry, sequence, head, blockIdx.x, d);
        const float d_age = block_sum(carry_item_grad(a.carry, from, d, decay, tiles, values, working, d_pattern, d_value), sums);
        if (threadIdx.x == 0) partial[(static_cast<size_t>(sequence) * gridDim.x + blockIdx.x) * heads + head] = d_age * age_slope(a, head);
    }
    // The pattern of item t is that of position t − successor; with successor, no item uses the last position's pattern.
    const REAL* qpv = static_cast<const REAL*>(a.qpv.data);
    REAL* to = static_cast<REAL*>(d_qpv.data);
    const auto position = [&](int half) { return first + row_of(half) - slots; };
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int half = half_of(i), c = column_of(n, i), t = position(half), of = t - successor;
            const bool here = row_of(half) < count && c < d;
            pattern[n][i] = here && of >= 0 ? wide(qpv[(start + of) * a.qpv.stride + width + column + c]) : 0.0f;
            if (!here) continue;
            if (t >= 0) {
                narrow(d_value[n][i], to[(start + t) * d_qpv.stride + 2 * width + column + c]);
            } else {
                float* slot = partial + ((static_cast<size_t>(sequence) * heads + head) * slots + first + row_of(half)) * 2 * d + c;
                slot[0] = d_pattern[n][i];
                slot[d] = d_value[n][i];
            }
        }
    unit_grad(pattern, d_pattern);
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int half = half_of(i), c = column_of(n, i), t = position(half), of = t - successor;
            if (row_of(half) >= count || c >= d || t < 0) continue;
            narrow(of >= 0 ? d_pattern[n][i] : 0.0f, to[(start + (of >= 0 ? of : a.time - 1)) * d_qpv.stride + width + column + c]);
        }
}
