// Kernels around the lookups: gathering the items of a memory, rings of decoding states, the mixture over refinements. One warp per
// head and position in kernels that normalise patterns. Bytes: each input and output once; under ten operations per element.
#include "common.cuh"

// 1 / sqrt(|v|² + 1e-6) of `d` columns.
DEVICE float unit_scale(const Tensor& x, size_t start, int d) {
    float sum = 0.0f;
    for (int c = lane(); c < d; c += 32) {
        const float v = get(x, start + c);
        sum += v * v;
    }
    return 1.0f / sqrtf(warp_sum(sum) + 1e-6f);
}

DEVICE void copy_columns(const Tensor& from, size_t start, int d, float factor, const Tensor& to, size_t end) {
    for (int c = lane(); c < d; c += 32) put(to, end + c, factor == 0.0f ? 0.0f : factor * get(from, start + c));
}

// A ring buffer of N rows [B, N, 2w]: position p is in row p mod N.
struct Ring {
    Tensor items;
    int rows;
    const unsigned* clock;
};

// Row of position t relative to the chunk; −1 for a position before the beginning of the sequence.
DEVICE int ring_row(const Ring& ring, int t) {
    const unsigned clock = *ring.clock;
    return t >= 0 || clock >= static_cast<unsigned>(-t) ? static_cast<int>((clock + t) % static_cast<unsigned>(ring.rows)) : -1;
}

struct Heads {
    int batch, time, heads, head_dim;
};

// items [B, lead + T, 2w] = the ring's keys and values followed by the chunk's, lead = N − 1.
KERNEL(attend_gather, 256, Tensor qkv, Ring ring, Heads dims, Tensor items) {
    const int width = dims.heads * dims.head_dim, lead = ring.rows - 1, columns = lead + dims.time;
    const size_t index = thread();
    const int c = index % (2 * width), column = index / (2 * width) % columns, sequence = index / (2 * width) / columns;
    if (sequence >= dims.batch) return;
    const int t = column - lead, row = ring_row(ring, t);
    float x = 0.0f;
    if (t >= 0)
        x = get(qkv, at(qkv, sequence * dims.time + t, width + c));
    else if (row >= 0)
        x = get(ring.items, at(ring.items, sequence * ring.rows + row, c));
    put(items, at(items, sequence * columns + column, c), x);
}

// Writes the chunk's newest N keys and values to the ring.
KERNEL(attend_update_ring, 256, Tensor qkv, Ring ring, Heads dims) {
    const int width = dims.heads * dims.head_dim, kept = min(dims.time, ring.rows);
    const size_t index = thread();
    const int c = index % (2 * width), t = dims.time - kept + static_cast<int>(index / (2 * width) % kept), sequence = index / (2 * width) / kept;
    if (sequence >= dims.batch) return;
    const float x = get(qkv, at(qkv, sequence * dims.time + t, width + c));
    put(ring.items, at(ring.items, sequence * ring.rows + ring_row(ring, t), c), x);
}

// Patterns and values, [H, M, d] each; absent where M is 0.
struct Slots {
    Tensor patterns, values;
    int count;
};

// items [B, M + lead + T, unit patterns | values]: slots, then the ring's items, then the chunk's (lead = N − 1, or 0 without a
// ring). `last`: unit pattern of the last position before the chunk.
KERNEL(recall_gather, 256, Tensor qpv, Slots slots, Ring ring, Tensor last, Heads dims, int successor, Tensor items) {
    const int d = dims.head_dim, width = dims.heads * d, lead = max(0, ring.rows - 1), columns = slots.count + lead + dims.time;
    const size_t index = static_cast<size_t>(blockIdx.x) * warps() + warp();
    const int head = index % dims.heads, column = index / dims.heads % columns, sequence = index / dims.heads / columns;
    if (sequence >= dims.batch) return;
    const size_t pattern = at(items, sequence * columns + column, head * d), value = pattern + width;
    if (column < slots.count) {
        const size_t slot = (static_cast<size_t>(head) * slots.count + column) * d;
        copy_columns(slots.patterns, slot, d, unit_scale(slots.patterns, slot, d), items, pattern);
        copy_columns(slots.values, slot, d, 1.0f, items, value);
        return;
    }
    const int t = column - slots.count - lead;
    if (t < 0) {
        const int row = ring_row(ring, t);
        const size_t start = at(ring.items, sequence * ring.rows + max(row, 0), head * d);
        copy_columns(ring.items, start, d, row >= 0 ? 1.0f : 0.0f, items, pattern);
        copy_columns(ring.items, start + width, d, row >= 0 ? 1.0f : 0.0f, items, value);
        return;
    }
    copy_columns(qpv, at(qpv, sequence * dims.time + t, 2 * width + head * d), d, 1.0f, items, value);
    if (t >= successor) {
        const size_t start = at(qpv, sequence * dims.time + t - successor, width + head * d);
        copy_columns(qpv, start, d, unit_scale(qpv, start, d), items, pattern);
    } else if (present(last)) {
        copy_columns(last, at(last, sequence, head * d), d, 1.0f, items, pattern);
    } else {
        copy_columns(items, pattern, d, 0.0f, items, pattern);
    }
}

// Writes the chunk's newest N items to the ring.
KERNEL(recall_update_ring, 256, Tensor qpv, Ring ring, Tensor last, Heads dims, int successor) {
    const int d = dims.head_dim, width = dims.heads * d, kept = min(dims.time, ring.rows);
    const size_t index = static_cast<size_t>(blockIdx.x) * warps() + warp();
    const int head = index % dims.heads, t = dims.time - kept + static_cast<int>(index / dims.heads % kept), sequence = index / dims.heads / kept;
    if (sequence >= dims.batch) return;
    const size_t to = at(ring.items, sequence * ring.rows + ring_row(ring, t), head * d);
    if (t >= successor) {
        const size_t start = at(qpv, sequence * dims.time + t - successor, width + head * d);
        copy_columns(qpv, start, d, unit_scale(qpv, start, d), ring.items, to);
    } else {
        copy_columns(last, at(last, sequence, head * d), d, 1.0f, ring.items, to);
    }
    copy_columns(qpv, at(qpv, sequence * dims.time + t, 2 * width + head * d), d, 1.0f, ring.items, to + width);
}

// last = the unit pattern of the chunk's last position.
KERNEL(recall_last, 256, Tensor qpv, Heads dims, Tensor last) {
    const int d = dims.head_dim, width = dims.heads * d;
    const int index = blockIdx.x * warps() + warp(), head = index % dims.heads, sequence = index / dims.heads;
    if (sequence >= dims.batch) return;
    const size_t start = at(qpv, (sequence + 1) * dims.time - 1, width + head * d);
    copy_columns(qpv, start, d, unit_scale(qpv, start, d), last, at(last, sequence, head * d));
}

// clock += by, after each chunk.
KERNEL(advance, 32, unsigned* clock, unsigned by) {
    if (threadIdx.x == 0) *clock += by;
}

// weights = softmax of each row's K logits.
KERNEL(depth_forward, 256, Tensor logits, int rows, int depth, float* weights) {
    const int row = thread();
    if (row >= rows) return;
    float top = LOWEST, sum = 0.0f;
    for (int k = 0; k < depth; k++) top = fmaxf(top, get(logits, at(logits, row, k)));
    for (int k = 0; k < depth; k++) sum += expf(get(logits, at(logits, row, k)) - top);
    for (int k = 0; k < depth; k++) weights[static_cast<size_t>(row) * depth + k] = expf(get(logits, at(logits, row, k)) - top) / sum;
}

// The gradient of those logits: with f_k = dy · r^k over all heads, d_k = w_k (f_k − Σ_j w_j f_j). One warp per row.
KERNEL(depth_backward, 256, const float* weights, Tensor reads, Tensor dy, int rows, int width, int depth, Tensor d) {
    const int row = blockIdx.x * warps() + warp();
    if (row >= rows) return;
    float along = 0.0f;
    for (int pass = 0; pass < 2; pass++) {
        for (int k = 0; k < depth; k++) {
            float f = 0.0f;
            for (int c = lane(); c < width; c += 32) f += get(dy, at(dy, row, c)) * get(reads, at(reads, row, k * width + c));
            f = warp_sum(f);
            const float weight = weights[static_cast<size_t>(row) * depth + k];
            if (pass == 0)
                along += weight * f;
            else if (lane() == 0)
                put(d, at(d, row, k), weight * (f - along));
        }
    }
}

// The gradients of the slots from the gradients of their unit patterns and values, [B, H, M, unit pattern | value].
KERNEL(recall_slots, 256, Slots slots, Heads dims, const float* partial, Tensor d_patterns, Tensor d_values) {
    const int d = dims.head_dim, all = dims.heads * slots.count, slot = blockIdx.x * warps() + warp();
    if (slot >= all) return;
    const size_t start = static_cast<size_t>(slot) * d;
    const float r = unit_scale(slots.patterns, start, d);
    float along = 0.0f;
    const auto total = [&](int c) {
        float sum = 0.0f;
        for (int b = 0; b < dims.batch; b++) sum += partial[(static_cast<size_t>(b) * all + slot) * 2 * d + c];
        return sum;
    };
    for (int c = lane(); c < d; c += 32) along += get(slots.patterns, start + c) * total(c);
    along = warp_sum(along) * r * r;
    for (int c = lane(); c < d; c += 32) {
        const float slope = r * (total(c) - along * get(slots.patterns, start + c));
        put(d_patterns, start + c, get(d_patterns, start + c) + slope);
        put(d_values, start + c, get(d_values, start + c) + total(d + c));
    }
}
