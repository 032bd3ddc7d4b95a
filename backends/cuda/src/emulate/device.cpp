// Fibres, barriers and the launch of the emulated device.
#include "device.hpp"

#include <memory>

__thread Dim threadIdx, blockIdx, blockDim, gridDim;

#ifndef __x86_64__
#error "the emulated device switches fibres in x86-64 assembly; on other processors test on a GPU"
#endif

// Saves the callee-saved registers on the current stack and switches to another stack.
extern "C" void hh_emulate_switch(void** save, void* load);
asm(R"(
.text
hh_emulate_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

namespace emulate {

const Entry* Entry::first = nullptr;

namespace {

constexpr size_t STACK = 64 << 10;

enum class Wait { None, Warp, Block, Done };

struct Fibre {
    std::vector<unsigned char> memory = std::vector<unsigned char>(STACK);
    void* stack = nullptr;
    Wait wait = Wait::Done;
    // Number of warp collectives so far; they alternate between two slots.
    unsigned turn = 0;
};

struct Warp {
    unsigned char slots[2][32 * SLOT];
};

struct Device {
    std::vector<Fibre> fibres;
    std::vector<Warp> warps;
    std::vector<char> shared;
    const Entry* kernel = nullptr;
    const void* const* args = nullptr;
    void* scheduler = nullptr;
    unsigned now = 0;
    uint64_t block = 0;
    bool any = false, any_before = false;
    uint64_t random = 0x9e3779b97f4a7c15;

    uint64_t draw() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return random;
    }
};

// One per host thread, created at its first launch.
__thread Device* device;
thread_local std::unique_ptr<Device> owner;

void leave(Wait wait) {
    Fibre& me = device->fibres[device->now];
    me.wait = wait;
    hh_emulate_switch(&me.stack, device->scheduler);
}

void body() {
    device->kernel->call(device->args);
    leave(Wait::Done);
}

void start(Fibre& fibre) {
    // The stack layout of hh_emulate_switch: six registers, then the return address. At function entry rsp is 8 mod 16.
    auto top = reinterpret_cast<uintptr_t>(fibre.memory.data() + STACK) & ~uintptr_t(15);
    auto* stack = reinterpret_cast<void**>(top - 16);
    *stack = reinterpret_cast<void*>(&body);
    for (int i = 0; i < 6; i++) *--stack = nullptr;
    fibre.stack = stack;
    fibre.wait = Wait::None;
    fibre.turn = 0;
}

// Runs a warp until it ends or waits for other warps; false if none of its threads could run.
bool run_warp(unsigned warp) {
    const unsigned first = warp * 32, count = std::min(32u, blockDim.x - first);
    Device* const device = emulate::device;
    Fibre* const fibres = device->fibres.data() + first;
    bool ran = false;
    for (;;) {
        const uint64_t random = device->draw();
        const unsigned step = (random & 31) | 1, offset = random >> 8 & 31;
        unsigned waiting = 0, alive = 0;
        for (unsigned i = 0; i < 32; i++) {
            const unsigned lane = (i * step + offset) & 31;
            if (lane >= count) continue;
            Fibre& fibre = fibres[lane];
            if (fibre.wait == Wait::None) {
                device->now = first + lane;
                threadIdx = {first + lane, 0, 0};
                hh_emulate_switch(&device->scheduler, fibre.stack);
                ran = true;
            }
        }
        for (unsigned lane = 0; lane < count; lane++) {
            alive += fibres[lane].wait != Wait::Done;
            waiting += fibres[lane].wait == Wait::Warp;
        }
        if (alive == 0 || waiting < alive) return ran;
        for (unsigned lane = 0; lane < count; lane++) {
            Fibre& fibre = fibres[lane];
            if (fibre.wait == Wait::Warp) fibre.wait = Wait::None;
        }
    }
}

// Runs the block to its end; false on a deadlock.
bool run_block() {
    device->block++;
    device->any = false;
    std::memset(device->shared.data(), POISON, device->shared.size());
    for (unsigned i = 0; i < blockDim.x; i++) start(device->fibres[i]);
    const unsigned warps = (blockDim.x + 31) / 32;
    for (;;) {
        bool ran = false;
        const unsigned offset = device->draw() % warps;
        const bool backwards = device->draw() & 1;
        for (unsigned i = 0; i < warps; i++) {
            const unsigned warp = (offset + (backwards ? warps - i : i)) % warps;
            ran |= run_warp(warp);
        }
        unsigned alive = 0, waiting = 0;
        for (unsigned i = 0; i < blockDim.x; i++) {
            alive += device->fibres[i].wait != Wait::Done;
            waiting += device->fibres[i].wait == Wait::Block;
        }
        if (alive == 0) return true;
        if (waiting == alive) {
            device->any_before = device->any;
            device->any = false;
            for (unsigned i = 0; i < blockDim.x; i++)
                if (device->fibres[i].wait == Wait::Block) device->fibres[i].wait = Wait::None;
        } else if (!ran) {
            return false;
        }
    }
}

}  // namespace

bool block_barrier(bool flag) {
    device->any |= flag;
    leave(Wait::Block);
    return device->any_before;
}

void warp_barrier() { leave(Wait::Warp); }

unsigned char* slots() {
    Fibre& me = device->fibres[device->now];
    return device->warps[device->now / 32].slots[me.turn++ & 1];
}

char* dynamic_shared() { return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(device->shared.data()) + 15) & ~uintptr_t(15)); }

uint64_t block_number() { return device->block; }

namespace {

thread_local char message[256];

template <class... A>
const char* error(const char* format, A... a) {
    std::snprintf(message, sizeof message, format, a...);
    return message;
}

}  // namespace

// Runs a kernel; returns an error message, or null on success.
extern "C" const char* hh_emulate_launch(const char* name, const char* variant, const unsigned* grid, unsigned threads, size_t shared,
                                         const void* const* args, const size_t* sizes, size_t count) {
    const Entry* entry = Entry::first;
    while (entry && (std::strcmp(entry->name, name) || std::strcmp(entry->variant, variant))) entry = entry->next;
    if (!entry) return error("there is no kernel %s [%s]", name, variant);
    if (count != entry->sizes.size()) return error("%s takes %zu arguments, not %zu", name, entry->sizes.size(), count);
    for (size_t i = 0; i < count; i++)
        if (sizes[i] != entry->sizes[i]) return error("argument %zu of %s has %zu bytes, not %zu", i, name, entry->sizes[i], sizes[i]);
    if (threads == 0 || threads > entry->most_threads) return error("%s runs on at most %u threads, not %u", name, entry->most_threads, threads);
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return error("%s has no blocks", name);

    if (!device) device = (owner = std::make_unique<Device>()).get();
    device->kernel = entry;
    device->args = args;
    if (device->fibres.size() < threads) device->fibres.resize(threads);
    device->warps.resize(std::max(device->warps.size(), size_t(threads + 31) / 32));
    // The memory after the requested shared memory must stay NaN.
    constexpr size_t GUARD = 256;
    device->shared.assign(shared + 16 + GUARD, 0);
    blockDim = {threads, 1, 1};
    gridDim = {grid[0], grid[1], grid[2]};
    const uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2], offset = device->draw() % blocks;
    for (uint64_t i = 0; i < blocks; i++) {
        const uint64_t n = (i + offset) % blocks;
        blockIdx = {unsigned(n % grid[0]), unsigned(n / grid[0] % grid[1]), unsigned(n / grid[0] / grid[1])};
        if (!run_block()) return error("threads of %s wait for a barrier that others never reach", name);
        const char* guard = dynamic_shared() + shared;
        for (size_t b = 0; b < GUARD; b++)
            if (static_cast<unsigned char>(guard[b]) != POISON) return error("%s wrote beyond its shared memory", name);
    }
    return nullptr;
}

}  // namespace emulate

unsigned __ballot_sync(unsigned, int flag) {
    unsigned char* all = emulate::slots();
    const unsigned char bit = flag != 0;
    all[(threadIdx.x & 31) * emulate::SLOT] = bit;
    emulate::warp_barrier();
    unsigned result = 0;
    for (unsigned i = 0; i < std::min(32u, blockDim.x - threadIdx.x / 32 * 32); i++) result |= unsigned(all[i * emulate::SLOT]) << i;
    return result;
}
