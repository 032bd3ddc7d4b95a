// The lookups for the emulated device: REAL and HEAD are defines of the compilation, and this file is compiled for each pair.
#include "../common.cuh"

#define LITERAL(x) #x
#define NAMED(real, head) "REAL=" LITERAL(real) " HEAD=" LITERAL(head)
#define VARIANT NAMED(REAL, HEAD)
namespace {
#include "../attend.cu"
#include "../recall.cu"
#include "../hebbian.cu"
}
