// Searches for the least error that look at few steps.
//
// In the words of qcore/methods/squared_error.py, error(s) = M2 - 2 s G(s) where G is a
// sum of J(s b) over edges b, with a zero point the largest of such sums. J is convex, so
// G is: between two steps it lies below its chord there, which bounds the error from
// below. Every STRIDE-th step is tried first; what lies between two of them is left out
// if its bound exceeds the least error found by more than errors may differ for nothing:
// the factor `tie` and `slack` of the second moment.
//
// Launch, for both kernels:
//   grid   a block for each channel; block a multiple of 32.
//   shared 8 * (32 + ceil(candidates / STRIDE) + 1) bytes.
//   the rest as the kernels of errors.cu, whose errors they find; infinity is the error
//   of what cannot be the best.

#define MOST_WARPS 32

static __device__ double least_of_block(double x) {
  extern __shared__ double sums[];
#pragma unroll
  for (int lane = 16; lane; lane >>= 1)
    x = fmin(x, __shfl_xor_sync(FULL_WARP, x, lane));
  if (leads_warp()) sums[threadIdx.x / 32] = x;
  __syncthreads();
  for (Word warp = 0; warp < blockDim.x / 32; ++warp) x = fmin(x, sums[warp]);
  __syncthreads();  // all have read what the next call writes
  return x;
}

// Which candidate is tried as number `knot`: the last one is the last of all.
static __device__ __forceinline__ int tried(int knot, int candidates) {
  return knot * STRIDE < candidates ? knot * STRIDE : candidates - 1;
}

template <class Gains>
static __device__ __forceinline__ void search(
    const Gains& gains, const double* steps, const Byte* allowed, int candidates,
    double tie, double slack, double* errors) {
  extern __shared__ double sums[];
  double* known = sums + MOST_WARPS;
  double moment = gains.moment(), least = no_error(), is_ascending = 1;
  int knots = (candidates + STRIDE - 1) / STRIDE + 1;
  for (int knot = threadIdx.x; knot < knots; knot += blockDim.x) {
    int i = tried(knot, candidates);
    known[knot] = gains.gain(steps[i]);
    double error = at_least_zero(moment - 2 * steps[i] * known[knot]);
    if (allowed[i]) least = fmin(least, error);
  }
  for (int i = threadIdx.x; i + 1 < candidates; i += blockDim.x)
    if (!(steps[i] <= steps[i + 1])) is_ascending = 0;
  double limit = least_of_block(least) * tie + slack * moment;
  if (least_of_block(is_ascending) == 0) limit = no_error();

  for (int i = threadIdx.x; i < candidates; i += blockDim.x) {
    int knot = i / STRIDE;
    double low = steps[tried(knot, candidates)];
    double high = steps[tried(knot + 1, candidates)];
    double gain = known[knot], slope = (known[knot + 1] - gain) / (high - low);
    // The bound is a parabola in the step, with its vertex here.
    double vertex = fmin(fmax((low - gain / slope) / 2, low), high);
    double bound = moment - 2 * vertex * (gain + slope * (vertex - low));
    if (!allowed[i] || bound > limit) {
      errors[i] = no_error();
      continue;
    }
    if (i % STRIDE) gain = gains.gain(steps[i]);
    errors[i] = at_least_zero(moment - 2 * steps[i] * gain);
  }
}

extern "C" __global__ void __launch_bounds__(SEARCHERS) search_symmetric(
    const Tail* joint, const Tail* negative, const Tail* positive, int slots,
    const double* steps, Long steps_stride, const Byte* allowed, int candidates,
    const double* edges, const double* spans, int shared, int second, int codes,
    double tie, double slack, double* errors) {
  Long channel = blockIdx.x, first = channel * (slots + 1);
  Symmetric gains = {{joint + first, negative + first, positive + first}, slots,
                     edges, spans, {shared, second, codes}};
  search(gains, steps + channel * steps_stride, allowed + channel * candidates,
         candidates, tie, slack, errors + channel * candidates);
}

// What codes gain, with the best zero point of each step.
struct Affine {
  Sides sides;
  int codes;

  __device__ __forceinline__ double gain(double step) const {
    return affine_gain(sides, step, best_below(sides, step, codes), codes);
  }

  __device__ __forceinline__ double moment() const {
    return sides.negative[0].square + sides.positive[0].square;
  }
};

extern "C" __global__ void __launch_bounds__(SEARCHERS) search_affine(
    const Tail* negative, const Tail* positive, int slots, const double* steps,
    Long steps_stride, const Byte* allowed, int candidates, int codes, double tie,
    double slack, double* errors) {
  Long channel = blockIdx.x;
  Affine gains = {sides_of(negative, positive, slots, channel), codes};
  search(gains, steps + channel * steps_stride, allowed + channel * candidates,
         candidates, tie, slack, errors + channel * candidates);
}
