// Products of tiles, sixteen rows per warp: on tensor cores in bf16 (mma.sync m16n8k16), by fused multiply-add in f32, both with
// the same register layout, so that callers are written once.
//
// REAL (float or bf16) and HEAD (the head's width, rounded up) are defines of the compilation. A tile is stored in shared memory
// in rows of PITCH elements, so that no two rows of a fragment begin in the same bank. An accumulator is C[n][4] in each lane:
// rows `group` and `group + 8`, columns 8n + 2·pair and the next: C[n][0] and C[n][1] are of row `group`, C[n][2] and C[n][3]
// of row `group + 8`.
#pragma once
#include "common.cuh"

constexpr int TILE_WARPS = 4;
// Rows of a block.
constexpr int ROWS = 16 * TILE_WARPS;
// Columns of a tile, as in lookup.rs: larger where registers and shared memory allow, to amortise the cost per tile.
constexpr int COLUMNS = sizeof(REAL) == 2 && HEAD <= 64 ? 64 : 32;
constexpr int PITCH = HEAD + 16 / sizeof(REAL);
// Fragments of eight columns of a tile of scores, and of a head.
constexpr int SCORES = COLUMNS / 8;
constexpr int FRAGMENTS = HEAD / 8;

DEVICE int group() { return lane() >> 2; }
DEVICE int pair() { return lane() & 3; }

DEVICE float quad_sum(float x) {
    x += __shfl_xor_sync(ALL_LANES, x, 1);
    return x + __shfl_xor_sync(ALL_LANES, x, 2);
}
DEVICE float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
    return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}

DEVICE unsigned pack(float low, float high) {
#ifdef HH_EMULATE
    bf16 a, b;
    narrow(low, a);
    narrow(high, b);
    return a.bits | static_cast<unsigned>(b.bits) << 16;
#else
    unsigned both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#endif
}

// c += a · b, one m16n8k16 product of a warp.
DEVICE void mma(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef HH_EMULATE
    struct Fragments {
        unsigned a[4], b[2];
    };
    Fragments mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const auto* all = emulate::gather(mine);
    auto half = [](unsigned word, int k) { return __uint_as_float(k & 1 ? word & 0xffff0000u : word << 16); };
    for (int i = 0; i < 4; i++) {
        const int below = i >> 1, column = 2 * pair() + (i & 1);
        for (int k = 0; k < 16; k++) {
            const unsigned x = all[group() * 4 + k % 8 / 2].a[below + (k >= 8 ? 2 : 0)], y = all[column * 4 + k % 8 / 2].b[k >= 8];
            c[i] += half(x, k) * half(y, k);
        }
    }
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Four 8 × 8 matrices from shared memory; lane 8i + j passes the address of row j of matrix i. A lane gets row `group`, columns
// 2·pair and the next; with TRANSPOSED, column `group`, rows 2·pair and the next.
template <bool TRANSPOSED>
DEVICE void load_matrices(unsigned (&x)[4], const bf16* row) {
#ifdef HH_EMULATE
    const bf16* const* rows = emulate::gather(row);
    for (int i = 0; i < 4; i++) {
        const bf16* const* of = rows + 8 * i;
        const bf16 low = TRANSPOSED ? of[2 * pair()][group()] : of[group()][2 * pair()];
        const bf16 high = TRANSPOSED ? of[2 * pair() + 1][group()] : of[group()][2 * pair() + 1];
        x[i] = low.bits | static_cast<unsigned>(high.bits) << 16;
    }
#else
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(address) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(address) : "memory");
#endif
}

// c += a · bᵀ: sixteen rows of `a` and 8N rows of `b`, N even, over HEAD columns.
template <int N>
DEVICE void scores(const bf16* a, const bf16* b, float (&c)[N][4]) {
    const bf16 *left_row = a + (lane() & 15) * PITCH + (lane() >> 4) * 8,
               *right_row = b + ((lane() & 7) + (lane() >> 4) * 8) * PITCH + (lane() >> 3 & 1) * 8;
#pragma unroll
    for (int k = 0; k < HEAD; k += 16) {
        unsigned left[4];
        load_matrices<false>(left, left_row + k);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            unsigned right[4];
            load_matrices<false>(right, right_row + 8 * n * PITCH + k);
            mma(c[n], left, {right[0], right[1]});
            mma(c[n + 1], left, {right[2], right[3]});
        }
    }
}

template <int N>
DEVICE void scores(const float* a, const float* b, float (&c)[N][4]) {
    const float *top = a + group() * PITCH, *low = top + 8 * PITCH;
#pragma unroll 2
    for (int k = 0; k < HEAD; k += 4) {
        const auto x = *reinterpret_cast<const Packed<float, 4>*>(top + k), y = *reinterpret_cast<const Packed<float, 4>*>(low + k);
#pragma unroll
        for (int n = 0; n < N; n++) {
            const float* column = b + (8 * n + 2 * pair()) * PITCH + k;
            const auto u = *reinterpret_cast<const Packed<float, 4>*>(column), v = *reinterpret_cast<const Packed<float, 4>*>(column + PITCH);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                c[n][0] += x.x[i] * u.x[i];
                c[n][1] += x.x[i] * v.x[i];
                c[n][2] += y.x[i] * u.x[i];
                c[n][3] += y.x[i] * v.x[i];
            }
        }
    }
}

// out += p · v: sixteen rows of weights in registers and the tile's COLUMNS rows.
DEVICE void weigh(const float (&p)[SCORES][4], const bf16* v, float (&out)[FRAGMENTS][4]) {
    const bf16* row = v + (lane() & 15) * PITCH + (lane() >> 4) * 8;
#pragma unroll
    for (int k = 0; k < SCORES; k += 2) {
        const unsigned left[4] = {pack(p[k][0], p[k][1]), pack(p[k][2], p[k][3]), pack(p[k + 1][0], p[k + 1][1]), pack(p[k + 1][2], p[k + 1][3])};
#pragma unroll
        for (int n = 0; n < FRAGMENTS; n += 2) {
            unsigned right[4];
            load_matrices<true>(right, row + 8 * k * PITCH + 8 * n);
            mma(out[n], left, {right[0], right[1]});
            mma(out[n + 1], left, {right[2], right[3]});
        }
    }
}

DEVICE void weigh(const float (&p)[SCORES][4], const float* v, float (&out)[FRAGMENTS][4]) {
#pragma unroll
    for (int k = 0; k < SCORES; k++) {
        // Not unrolled: at 128 columns the compiler would take a minute for a source.
#pragma unroll 1
        for (int owner = 0; owner < 4; owner++) {
            // The lane of this quad that holds columns 2 · owner and the next.
            const int holder = (lane() & ~3) | owner;
#pragma unroll
            for (int odd = 0; odd < 2; odd++) {
                const float x = __shfl_sync(ALL_LANES, p[k][odd], holder), y = __shfl_sync(ALL_LANES, p[k][2 + odd], holder);
                const float* row = v + (8 * k + 2 * owner + odd) * PITCH + 2 * pair();
#pragma unroll
                for (int n = 0; n < FRAGMENTS; n++) {
                    const auto u = *reinterpret_cast<const Packed<float, 2>*>(row + 8 * n);
                    out[n][0] += x * u.x[0];
                    out[n][1] += x * u.x[1];
                    out[n][2] += y * u.x[0];
                    out[n][3] += y * u.x[1];
                }
            }
        }
    }
}

template <int N>
DEVICE void clear(float (&c)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) c[n][i] = 0.0f;
}

template <int N>
DEVICE void scale(float (&c)[N][4], float factor) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) c[n][i] *= factor;
}

// This lane's part of the inner product of two accumulators.
template <int N>
DEVICE float dot(const float (&x)[N][4], const float (&y)[N][4]) {
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum += x[n][i] * y[n][i];
    return sum;
}

// Row (0 or 1 of this lane's two) and column of element i of fragment n.
DEVICE int half_of(int i) { return i >> 1; }
DEVICE int column_of(int n, int i) { return 8 * n + 2 * pair() + (i & 1); }
// Row within the block of this lane's row `half`.
DEVICE int row_of(int half) { return warp() * 16 + group() + 8 * half; }

// The inner products of the rows of two accumulators, for each of this lane's rows.
template <int N>
DEVICE void row_dots(const float (&x)[N][4], const float (&y)[N][4], float (&dot)[2]) {
    dot[0] = dot[1] = 0.0f;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) dot[half_of(i)] += x[n][i] * y[n][i];
    dot[0] = quad_sum(dot[0]);
    dot[1] = quad_sum(dot[1]);
}

// The sum over all threads of the block, valid in thread 0. `room`: TILE_WARPS floats of shared memory, used once.
DEVICE float block_sum(float x, float* room) {
    x = warp_sum(x);
    if (lane() == 0) room[warp()] = x;
    __syncthreads();
    float sum = 0.0f;
    for (int w = 0; w < TILE_WARPS; w++) sum += room[w];
    return sum;
}

// 1 / sqrt(|v|² + 1e-6) of this lane's rows.
DEVICE void unit_scales(const float (&v)[FRAGMENTS][4], float (&scale)[2]) {
    row_dots(v, v, scale);
    scale[0] = 1.0f / sqrtf(scale[0] + 1e-6f);
    scale[1] = 1.0f / sqrtf(scale[1] + 1e-6f);
}

DEVICE void make_unit(float (&v)[FRAGMENTS][4]) {
    float scale[2];
    unit_scales(v, scale);
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) v[n][i] *= scale[half_of(i)];
}

// Replaces the gradient of unit(v) by that of v: dv = r (du − r² (v · du) v).
DEVICE void unit_grad(const float (&v)[FRAGMENTS][4], float (&d)[FRAGMENTS][4]) {
    float scale[2], along[2];
    unit_scales(v, scale);
    row_dots(v, d, along);
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float r = scale[half_of(i)];
            d[n][i] = r * (d[n][i] - r * r * along[half_of(i)] * v[n][i]);
        }
}

// The element type of a tensor is a template parameter here, REAL or float for statistics, so that loops have no branches.

// Copies `count` rows of `d` columns from (row, column) on, times `factor`, to a tile of `room` rows, padded with zeros. Called
// by all threads of the block.
DEVICE void load_tile(const Tensor& from, size_t row, int count, int room, int column, int d, float factor, REAL* tile) {
    const bool vectors = ((from.stride | column | d) & 7) == 0 && (reinterpret_cast<size_t>(from.data) & 15) == 0;
    const REAL* start = static_cast<const REAL*>(from.data) + row * from.stride + column;
#pragma unroll 2
    for (int i = threadIdx.x * 8; i < room * HEAD; i += blockDim.x * 8) {
        const int r = i / HEAD, c = i % HEAD;
        const REAL* at = start + static_cast<size_t>(r) * from.stride + c;
        Packed<REAL, 8> x = {};
        if (r < count && c < d) {
            if (vectors)
                x = *reinterpret_cast<const Packed<REAL, 8>*>(at);
            else
#pragma unroll
                for (int n = 0; n < 8; n++)
                    if (c + n < d) x.x[n] = at[n];
        }
        if (factor != 1.0f)
#pragma unroll
            for (int n = 0; n < 8; n++) narrow(wide(x.x[n]) * factor, x.x[n]);
        *reinterpret_cast<Packed<REAL, 8>*>(tile + r * PITCH + c) = x;
    }
}

// Loads this lane's elements of a row-major tensor, `d` columns from `column` on; zeros beyond `rows` and `d`.
template <class Element>
DEVICE void load_rows(const Tensor& from, size_t first, int rows, int column, int d, float (&c)[FRAGMENTS][4]) {
    const Element* start = static_cast<const Element*>(from.data) + first * from.stride + column;
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = row_of(half_of(i)), col = column_of(n, i);
            c[n][i] = row < rows && col < d ? wide(start[static_cast<size_t>(row) * from.stride + col]) : 0.0f;
        }
}

template <class Element>
DEVICE void store_rows(const float (&c)[FRAGMENTS][4], const Tensor& to, size_t first, int rows, int column, int d) {
    Element* start = static_cast<Element*>(to.data) + first * to.stride + column;
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = row_of(half_of(i)), col = column_of(n, i);
            if (row < rows && col < d) narrow(c[n][i], start[static_cast<size_t>(row) * to.stride + col]);
        }
}

// Writes this warp's rows times `factor` to its part of a tile of ROWS.
DEVICE void put_tile(const float (&c)[FRAGMENTS][4], float factor, REAL* tile) {
#pragma unroll
    for (int n = 0; n < FRAGMENTS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) narrow(c[n][i] * factor, tile[row_of(half_of(i)) * PITCH + column_of(n, i)]);
}
