// All kernels for the emulated machine, in every variant that one may be asked for.
#include "../common.cuh"

#define VARIANT ""
#define LANES 1
namespace plain {
#include "../sums.cu"
#include "../optimise.cu"
#include "../random.cu"
#include "../rotate.cu"
#include "../gate.cu"
#include "../flow.cu"
#include "../memory.cu"
#include "../step.cu"
}
#undef VARIANT
#undef LANES

#define VARIANT "LANES=1"
#define LANES 1
namespace lanes_1 {
#include "lanes.inc"
}
#undef VARIANT
#undef LANES

#define VARIANT "LANES=4"
#define LANES 4
namespace lanes_4 {
#include "lanes.inc"
}
#undef VARIANT
#undef LANES

#define VARIANT "LANES=8"
#define LANES 8
namespace lanes_8 {
#include "lanes.inc"
}
#undef VARIANT
#undef LANES
