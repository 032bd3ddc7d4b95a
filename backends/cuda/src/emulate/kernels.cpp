// All kernels without head variants for the emulated device, in every variant that the backend launches.
#include "../common.cuh"

#define VARIANT ""
#define VEC 1
namespace plain {
#include "../sums.cu"
#include "../optimise.cu"
#include "../random.cu"
#include "../rotate.cu"
#include "../gate.cu"
#include "../flow.cu"
#include "../episodic.cu"
#include "../memory.cu"
#include "../step.cu"
}
#undef VARIANT
#undef VEC

#define VARIANT "VEC=1"
#define VEC 1
namespace vec_1 {
#include "vec.inc"
}
#undef VARIANT
#undef VEC

#define VARIANT "VEC=4"
#define VEC 4
namespace vec_4 {
#include "vec.inc"
}
#undef VARIANT
#undef VEC

#define VARIANT "VEC=8"
#define VEC 8
namespace vec_8 {
#include "vec.inc"
}
#undef VARIANT
#undef VEC
