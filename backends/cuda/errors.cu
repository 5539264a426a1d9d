// The squared errors of steps; qcore/methods/squared_error.py says the same for arrays.
//
// Launch, for every kernel that has `candidates`:
//   grid   channels * ceil(candidates / THREADS) blocks; block THREADS; shared none.
//   steps  [channels, candidates] in slots, or one row where `steps_stride` is 0; so for
//          all that has a stride.
//   allowed, errors [channels, candidates]; infinity is the error of what is not.
//   tails  [channels, slots + 1] each; see density.cu.

struct Sides {
  const Tail *negative, *positive;
  int slots;
};

// NaN stays.
static __device__ __forceinline__ double at_least_zero(double x) {
  return x < 0 ? 0 : x;
}

// What rounding to codes gains over rounding all to zero, where `below` of them lie
// below zero. Codes whose cells begin beyond all slots gain nothing.
static __device__ double affine_gain(
    const Sides& sides, double step, double below, int codes) {
  double reach = sides.slots / step + 1;
  int end = (int)fmin((double)codes, ceil(below + reach));
  double gain = 0;
  for (int code = (int)fmax(0.0, floor(below - reach)); code < end; ++code) {
    double edge = step * (code - below + 0.5);
    gain += edge < 0 ? excess_at(sides.negative, sides.slots, -edge)
                     : excess_at(sides.positive, sides.slots, edge);
  }
  return gain;
}

static __device__ double affine_error(
    const Sides& sides, double step, double below, int codes, int is_fine) {
  if (is_fine) {
    Parts left = fine_parts(sides.negative, sides.slots, step, step * below);
    Parts right = fine_parts(sides.positive, sides.slots, step, step * (codes - below));
    return left.inside + left.beyond + (right.inside + right.beyond);
  }
  double moment = sides.negative[0].square + sides.positive[0].square;
  return at_least_zero(moment - 2 * step * affine_gain(sides, step, below, codes));
}

// How many codes are best below zero, by bisection.
static __device__ double best_below(const Sides& sides, double step, int codes) {
  int below = 0, number = 1;
  while (number <= codes / 2) number *= 2;
  for (; number; number /= 2) {
    int more = below + number;
    if (more > codes) continue;
    double gained = excess_at(sides.negative, sides.slots, step * (more - 0.5));
    double lost = excess_at(sides.positive, sides.slots, step * (codes - more + 0.5));
    if (gained > lost) below = more;
  }
  return below;
}

struct Candidate {
  Long channel;
  int number;
};

static __device__ __forceinline__ Candidate candidate_of(int candidates) {
  Word chunks = (candidates + blockDim.x - 1) / blockDim.x;
  return Candidate{blockIdx.x / chunks,
                   (int)(blockIdx.x % chunks * blockDim.x + threadIdx.x)};
}

static __device__ __forceinline__ double no_error() {
  return __longlong_as_double(0x7ff0000000000000LL);
}

static __device__ __forceinline__ Sides sides_of(
    const Tail* negative, const Tail* positive, int slots, Long channel) {
  Long first = channel * (slots + 1);
  return Sides{negative + first, positive + first, slots};
}

// What rounding to codes gains at zero point 0. The codes of both signs, then those that
// negative values have more, then the positive ones, have the rounding cells' `edges` and
// the distances `spans` of their levels; `ends` tells where each kind ends.
struct Symmetric {
  const Tail* tails[3];  // of a channel; null where there are no such codes
  int slots;
  const double *edges, *spans;
  int ends[3];

  __device__ __forceinline__ double gain(double step) const {
    double sum = 0;
    int code = 0;
#pragma unroll
    for (int side = 0; side < 3; ++side) {
      for (; code < ends[side]; ++code) {
        double edge = step * edges[code];
        if (edge >= slots) break;
        sum += spans[code] * excess_at(tails[side], slots, edge);
      }
      code = ends[side];
    }
    return sum;
  }

  __device__ __forceinline__ double moment() const { return tails[0][0].square; }
};

// Errors at zero point 0; see `Symmetric`. allowed: null for all.
extern "C" __global__ void __launch_bounds__(THREADS) symmetric_errors(
    const Tail* joint, const Tail* negative, const Tail* positive, int slots,
    const double* steps, Long steps_stride, const Byte* allowed, int candidates,
    const double* edges, const double* spans, int shared, int second, int codes,
    double* errors) {
  Candidate c = candidate_of(candidates);
  if (c.number >= candidates) return;
  Long at = c.channel * candidates + c.number;
  if (allowed && !allowed[at]) {
    errors[at] = no_error();
    return;
  }
  double step = steps[c.channel * steps_stride + c.number];
  Long first = c.channel * (slots + 1);
  Symmetric symmetric = {{joint + first, negative + first, positive + first}, slots,
                         edges, spans, {shared, second, codes}};
  errors[at] = at_least_zero(symmetric.moment() - 2 * step * symmetric.gain(step));
}

// Errors of ranges of `codes` steps.
//   below  how many codes lie below zero; null for the best of them, or, if it is not
//          negative, `split` for all.
//   is_fine: whether steps count as finer than slots.
extern "C" __global__ void __launch_bounds__(THREADS) affine_errors(
    const Tail* negative, const Tail* positive, int slots, const double* steps,
    Long steps_stride, const double* below, Long below_stride, double split,
    const Byte* allowed, int candidates, int codes, int is_fine, double* errors) {
  Candidate c = candidate_of(candidates);
  if (c.number >= candidates) return;
  Long at = c.channel * candidates + c.number;
  if (!allowed[at]) {
    errors[at] = no_error();
    return;
  }
  Sides sides = sides_of(negative, positive, slots, c.channel);
  double step = steps[c.channel * steps_stride + c.number];
  if (below) split = below[c.channel * below_stride + c.number];
  else if (split < 0) split = best_below(sides, step, codes);
  errors[at] = affine_error(sides, step, split, codes, is_fine);
}

// The least or the largest number that 8 lanes in a row have.
static __device__ __forceinline__ double least_of_8(double x) {
  for (int lane = 1; lane < 8; lane *= 2)
    x = fmin(x, __shfl_xor_sync(FULL_WARP, x, lane));
  return x;
}

// How many codes are best below zero; see `best_split` of qcore/methods/mse.py. Each of
// 8 threads of a channel tries one number; the last four try the same.
//   grid   ceil(8 * channels / THREADS) blocks; block THREADS; shared none.
//   steps, noise, chosen [channels]; reach [channels, 2]; tie: objectives within this
//          factor are as good.
extern "C" __global__ void __launch_bounds__(THREADS) best_splits(
    const Tail* negative, const Tail* positive, int slots, const double* steps,
    const double* reach, const double* noise, double tie, Long channels, int codes,
    int is_fine, double* chosen) {
  Long channel = (blockIdx.x * (Long)blockDim.x + threadIdx.x) / 8;
  bool is_there = channel < channels;
  if (!is_there) channel = channels - 1;  // as all lanes take part in exchanges
  int number = threadIdx.x % 8;
  Sides sides = sides_of(negative, positive, slots, channel);
  double step = steps[channel];
  double below = reach[2 * channel], above = reach[2 * channel + 1];
  double centred = floor((codes + (below - above) / step) / 2);
  double split = number < 3 ? best_below(sides, step, codes) + (number - 1)
                            : centred + (number > 3);
  split = fmin(fmax(split, 0.0), (double)codes);
  double error = affine_error(sides, step, split, codes, is_fine);
  double limit = least_of_8(error) * tie + noise[channel];
  double idle = fmax(split * step - below, (codes - split) * step - above);
  if (error > limit) idle = no_error();
  bool is_chosen = idle <= least_of_8(idle);
  double most = -least_of_8(is_chosen ? -split : 0.0);
  if (is_there && number == 0) chosen[channel] = most;
}

// Whether windows lose no more beyond them than inside; see qcore/methods/balance.py.
//   below, above: how far they reach, in slots; the last window holds all.
//   errors [channels, candidates]: their whole errors, or null where steps are fine.
extern "C" __global__ void __launch_bounds__(THREADS) balances(
    const Tail* negative, const Tail* positive, int slots, const double* steps,
    Long steps_stride, const double* below, Long below_stride, const double* above,
    Long above_stride, int candidates, const double* errors, Byte* balanced) {
  Candidate c = candidate_of(candidates);
  if (c.number >= candidates) return;
  Sides sides = sides_of(negative, positive, slots, c.channel);
  steps += c.channel * steps_stride;
  below += c.channel * below_stride;
  above += c.channel * above_stride;
  double rounded = 0, lost = 0, least = 0;
  for (int place = 0; place < 2; ++place) {
    int i = place == 0 ? candidates - 1 : c.number;
    Parts left = fine_parts(sides.negative, slots, steps[i], below[i]);
    Parts right = fine_parts(sides.positive, slots, steps[i], above[i]);
    least = lost;
    lost = left.beyond + right.beyond;
    rounded = left.inside + right.inside;
  }
  Long at = c.channel * candidates + c.number;
  if (errors) rounded = errors[at] - lost;
  balanced[at] = lost - least <= rounded;
}
