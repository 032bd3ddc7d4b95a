// Random numbers from the counter-based generator Philox4x32-10 (Salmon et al. 2011): element i is a function of (key, site, i),
// the same as on the CPU. A thread computes the four words of one counter: about 60 integer operations; bytes of the tensors once.
#include "common.cuh"

struct Words {
    unsigned x[4];
};

DEVICE Words philox(const unsigned* key, unsigned site, unsigned counter) {
    unsigned k0 = key[0], k1 = key[1], c0 = counter, c1 = site, c2 = key[2], c3 = key[3];
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        const unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

DEVICE float unit_interval(unsigned word) { return (word >> 8) * (1.0f / (1 << 24)); }

// y = residual + mask ∘ x / (1 − rate); x may be y. Element i is kept if its uniform number is at least `rate`.
KERNEL(dropout, 256, const unsigned* key, unsigned site, float rate, Tensor x, Tensor residual, size_t count, Tensor y) {
    const size_t counter = thread(), start = counter * 4;
    if (start >= count) return;
    const Words words = philox(key, site, counter);
    const float factor = 1.0f / (1.0f - rate);
    if (start + 4 <= count) {
        float v[4], past[4] = {};
        load(x, start, v);
        if (present(residual)) load(residual, start, past);
#pragma unroll
        for (int n = 0; n < 4; n++) v[n] = past[n] + (unit_interval(words.x[n]) >= rate ? v[n] * factor : 0.0f);
        store(y, start, v);
    } else {
        for (size_t i = start; i < count; i++) {
            const float kept = unit_interval(words.x[i - start]) >= rate ? get(x, i) * factor : 0.0f;
            put(y, i, kept + (present(residual) ? get(residual, i) : 0.0f));
        }
    }
}

KERNEL(uniform, 256, const unsigned* key, unsigned site, size_t count, Tensor y) {
    const size_t counter = thread(), start = counter * 4;
    if (start >= count) return;
    const Words words = philox(key, site, counter);
    for (size_t i = start; i < count && i < start + 4; i++) put(y, i, unit_interval(words.x[i - start]));
}

// Normal numbers by the transform of Box and Muller (1958).
KERNEL(normal, 256, const unsigned* key, unsigned site, size_t count, Tensor y) {
    const size_t counter = thread(), start = counter * 4;
    if (start >= count) return;
    const Words words = philox(key, site, counter);
    for (size_t i = start; i < count && i < start + 4; i++) {
        const int pair = (i - start) & 2;
        const float radius = sqrtf(-2.0f * logf(1.0f - unit_interval(words.x[pair])));
        const float angle = 6.28318530717958648f * unit_interval(words.x[pair + 1]);
        put(y, i, radius * ((i - start) & 1 ? sinf(angle) : cosf(angle)));
    }
}
