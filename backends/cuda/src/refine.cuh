// Modern and classic Hopfield memory: K refinements of a tile of ROWS queries of a head in one kernel, which keeps the queries
// in registers. With n the items a query sees on average (M + T / 2, or M + the window): forward (4K − 2) · B · H · T · n · 2d
// operations (in the last refinement only values are read), bytes of the items, the queries, y and what is saved; backward
// about 3 times the operations in two passes, one over the rows for the chain of refinements, one over the columns for
// patterns and values.
#pragma once
#include "carry.cuh"

// What both kinds and directions read. β multiplies the scores of a modern memory, and the pull of a classic one.
struct Refinement {
    // q lies in the first columns.
    Tensor qpv;
    Memory memory;
    View view;
    // [B, T, K]: the mixture over depths, softmax already taken.
    const float* weights;
    Tensor log_beta;
    // [H], absent for a modern memory; γ = σ(decay).
    Tensor decay;
    // Of a classic memory of several chunks, absent otherwise; in the pass over columns its gradient.
    Carry carry;
    int time, head_dim, depth;
};

// Saved: [B, T, K·w], [B, T, K·w], [B, T, K·H].
struct Kept {
    Tensor reads, moved, log_sum;
};

DEVICE float log2_decay(const Refinement& a, int head) { return present(a.decay) ? -log2f(1.0f + expf(-get(a.decay, head))) : 0.0f; }
// ∂γ^age / ∂decay = age · γ^age · (1 − γ): of that what no age changes.
DEVICE float age_slope(const Refinement& a, int head) { return present(a.decay) ? sigmoid(-get(a.decay, head)) : 0.0f; }

template <Kind KIND>
DEVICE void refine(const Refinement& a, const unsigned* clock, const Kept& kept, const Tensor& y) {
    DYNAMIC_SHARED(REAL, tiles);  // ROWS rows, and 2 · COLUMNS a stage
    const int first = blockIdx.x * ROWS, head = blockIdx.y, heads = gridDim.y, sequence = blockIdx.z, rows = min(ROWS, a.time - first);
    const int d = a.head_dim, column = head * d, width = heads * d;
    const size_t row = static_cast<size_t>(sequence) * a.time + first;
    const Sight sight = Sight::of<KIND>(a.view, clock ? *clock : 0, first);
    const Items items = items_of(a.memory, sequence, head, d);
    const float beta = expf(get(a.log_beta, head)), decay = log2_decay(a, head);
    float xi[BLOCKS][4], sum[BLOCKS][4], read[BLOCKS][4], moved[BLOCKS][4], log_sum[2] = {};
    load_rows<REAL>(a.qpv, row, rows, column, d, xi);
    make_unit(xi);
    clear(sum);
#pragma unroll 1
    for (int k = 0; k < a.depth; k++) {
        const bool move = k + 1 < a.depth;
        __syncwarp();
        put_tile(xi, KIND == SOFTMAX ? beta : 1.0f, tiles);
        __syncwarp();
        look_up<KIND>(sight, first, a.time, items, tiles, move, decay, tiles + ROWS * PITCH, read, moved, log_sum);
        if (KIND == HEBBIAN && present(a.carry.of))
            read_carry(a.carry, carry_row(a.carry, sequence, head, blockIdx.x, d), d, decay, xi, move, tiles + ROWS * PITCH, read, moved);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            if (row_of(half) >= rows) continue;
            const float weight = a.weights[(row + row_of(half)) * a.depth + k];
#pragma unroll
            for (int n = 0; n < BLOCKS; n++) {
                sum[n][2 * half] += weight * read[n][2 * half];
                sum[n][2 * half + 1] += weight * read[n][2 * half + 1];
            }
            if (KIND == SOFTMAX && present(kept.log_sum) && pair() == 0)
                static_cast<float*>(kept.log_sum.data)[(row + row_of(half)) * kept.log_sum.stride + k * heads + head] = log_sum[half];
        }
        if (present(kept.reads)) store_rows<float>(read, kept.reads, row, rows, k * width + column, d);
        if (!move) break;
#pragma unroll
        for (int n = 0; n < BLOCKS; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) xi[n][i] += KIND == SOFTMAX ? moved[n][i] : tanhf(beta * moved[n][i]);
        if (present(kept.moved)) store_rows<float>(xi, kept.moved, row, rows, k * width + column, d);
        make_unit(xi);
    }
    store_rows<REAL>(sum, y, row, rows, column, d);
}

// What the pass over rows leaves for the one over columns, all refinements: [K, B·T, w] each, and [K, B·T, H].
struct Chain {
    Tensor scaled, d_read, d_moved;
    float* balance;
    // K is the outermost extent: rows of each.
    int rows;
};

template <Kind KIND>
DEVICE void refine_rows(const Refinement& a, const Kept& kept, const Tensor& dy, const Chain& chain, const Tensor& d_qpv, float* partial) {
    DYNAMIC_SHARED(REAL, tiles);  // 3 · ROWS rows, and 2 · COLUMNS a stage
    SHARED(float, sums, 2 * TILE_WARPS);
    const int first = blockIdx.x * ROWS, head = blockIdx.y, heads = gridDim.y, sequence = blockIdx.z, rows = min(ROWS, a.time - first);
    const int d = a.head_dim, column = head * d, width = heads * d;
    const size_t row = static_cast<size_t>(sequence) * a.time + first;
    const Sight sight = Sight::of<KIND>(a.view, 0, first);
    const Items items = items_of(a.memory, sequence, head, d);
    const float beta = expf(get(a.log_beta, head)), decay = log2_decay(a, head), factor = KIND == SOFTMAX ? beta : 1.0f;
    REAL *read_tile = tiles + ROWS * PITCH, *moved_tile = read_tile + ROWS * PITCH;
    float d_log_beta = 0.0f, d_age = 0.0f;
    float d_next[BLOCKS][4], xi[BLOCKS][4], d_read[BLOCKS][4], moved[BLOCKS][4], d_query[BLOCKS][4];
    clear(d_next);
#pragma unroll 1
    for (int k = a.depth - 1; k >= 0; k--) {
        const bool move = k + 1 < a.depth;
        Flow flow = {tiles, read_tile, move ? moved_tile : nullptr, {}, {}};
        const size_t chained = static_cast<size_t>(k) * chain.rows + row;
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
            for (int n = 0; n < BLOCKS; n++) d_read[n][2 * half] *= weight, d_read[n][2 * half + 1] *= weight;
        }
        if (KIND == SOFTMAX) {
            load_rows<float>(kept.reads, row, rows, k * width + column, d, moved);
            row_dots(d_read, moved, flow.balance);
        }
        __syncwarp();
        put_tile(xi, factor, tiles);
        put_tile(d_read, 1.0f, read_tile);
        store_rows<REAL>(d_read, chain.d_read, chained, rows, column, d);
        if (move) {
            load_rows<float>(kept.moved, row, rows, k * width + column, d, moved);
            unit_grad(moved, d_next);
            // From here `moved` is what ξ moved by, Σ weight · pattern or its tanh, then the gradient of the sum.
#pragma unroll
            for (int n = 0; n < BLOCKS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) moved[n][i] -= xi[n][i];
            if (KIND == SOFTMAX) {
                float along[2];
                row_dots(d_next, moved, along);
                flow.balance[0] += along[0], flow.balance[1] += along[1];
            }
#pragma unroll
            for (int n = 0; n < BLOCKS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) moved[n][i] = KIND == SOFTMAX ? d_next[n][i] : beta * (1.0f - moved[n][i] * moved[n][i]) * d_next[n][i];
            put_tile(moved, 1.0f, moved_tile);
            store_rows<REAL>(moved, chain.d_moved, chained, rows, column, d);
        }
        scale(xi, factor);
        store_rows<REAL>(xi, chain.scaled, chained, rows, column, d);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            if (KIND == HEBBIAN || row_of(half) >= rows) continue;
            flow.log_sum[half] = static_cast<const float*>(kept.log_sum.data)[(row + row_of(half)) * kept.log_sum.stride + k * heads + head];
            if (pair() == 0) chain.balance[(chained + row_of(half)) * heads + head] = flow.balance[half];
        }
        __syncwarp();
        Found found = look_up_rows_grad<KIND>(sight, first, a.time, items, flow, decay, moved_tile + ROWS * PITCH, d_query);
        if (KIND == HEBBIAN && present(a.carry.of))
            found += read_carry_grad(a.carry, carry_row(a.carry, sequence, head, blockIdx.x, d), d, decay, flow, moved_tile + ROWS * PITCH, d_query);
        d_log_beta += found.moved;
        d_age += found.age;
#pragma unroll
        for (int n = 0; n < BLOCKS; n++)
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

// Gradients of patterns and values of ROWS items; those of slots go to `partial`, [B, H, M, unit pattern | value], and that of a
// classic memory's decay, [B · blocks, H], from what the items hand on.
template <Kind KIND>
DEVICE void refine_columns(const Refinement& a, const Kept& kept, const Chain& chain, int successor, const Tensor& d_qpv, float* partial) {
    DYNAMIC_SHARED(REAL, tiles);  // 2 · ROWS rows, and 3 · COLUMNS a stage, then 2 · COLUMNS f32 a stage
    const int first = blockIdx.x * ROWS, head = blockIdx.y, heads = gridDim.y, sequence = blockIdx.z, slots = a.view.slots;
    const int d = a.head_dim, column = head * d, width = heads * d, count = min(ROWS, slots + a.time - first);
    const size_t start = static_cast<size_t>(sequence) * a.time;
    const Items items = items_of(a.memory, sequence, head, d);
    const float decay = log2_decay(a, head);
    REAL *values = tiles + ROWS * PITCH, *working = values + ROWS * PITCH;
    load_tile(items.of, items.row + first, count, ROWS, items.pattern, d, 1.0f, tiles);
    load_tile(items.of, items.row + first, count, ROWS, items.value, d, 1.0f, values);
    float d_pattern[BLOCKS][4], d_value[BLOCKS][4], pattern[BLOCKS][4];
    clear(d_pattern);
    clear(d_value);
#pragma unroll 1
    for (int k = 0; k < a.depth; k++) {
        const size_t row = static_cast<size_t>(k) * chain.rows + start;
        const float* log_sum = static_cast<const float*>(kept.log_sum.data) + start * kept.log_sum.stride + k * heads + head;
        const Queries queries = {chain.scaled,   chain.d_read, chain.d_moved, 1.0f, row, column, column, KIND == SOFTMAX ? log_sum : nullptr,
                                 chain.balance + row * heads + head, kept.log_sum.stride, heads};
        look_up_columns_grad<KIND>(Sight::of(a.view, 0), first, a.time, d, queries, k + 1 < a.depth, decay, tiles, values, working,
                                   reinterpret_cast<float*>(working + STAGES * 3 * COLUMNS * PITCH), d_pattern, d_value);
    }
    if (KIND == HEBBIAN && present(a.carry.of)) {
        SHARED(float, sums, TILE_WARPS);
        const size_t from = carry_row(a.carry, sequence, head, blockIdx.x, d);
        const float d_age = block_sum(hand_on_grad(a.carry, from, d, decay, tiles, values, working, d_pattern, d_value), sums);
        if (threadIdx.x == 0) partial[(static_cast<size_t>(sequence) * gridDim.x + blockIdx.x) * heads + head] = d_age * age_slope(a, head);
    }
    // The pattern of item t is that of position t − successor; nobody's item has the last position's.
    const REAL* qpv = static_cast<const REAL*>(a.qpv.data);
    REAL* to = static_cast<REAL*>(d_qpv.data);
    const auto position = [&](int half) { return first + row_of(half) - slots; };
#pragma unroll
    for (int n = 0; n < BLOCKS; n++)
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
    for (int n = 0; n < BLOCKS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int half = half_of(i), c = column_of(n, i), t = position(half), of = t - successor;
            if (row_of(half) >= count || c >= d || t < 0) continue;
            narrow(of >= 0 ? d_pattern[n][i] : 0.0f, to[(start + (of >= 0 ? of : a.time - 1)) * d_qpv.stride + width + column + c]);
        }
}
