// The density of counts, taken to lie evenly in their slots; qcore/methods/density.py
// says the same for arrays. Lengths are in slots. Put before errors.cu.

// What lies beyond the inner edge of a slot: half the slot's count, and the integrals of
// 1, (x - edge) and (x - edge)**2 over the density.
struct alignas(16) Tail {
  double half, mass, excess, square;
};

// Write the tails of counts from the far end, where nothing cancels.
//
//   grid   a block for each channel; block a multiple of 32; shared 8 bytes a warp.
//   counts [channels, 2, slots]; those of the signs from `first` to `last` add up.
//   tails  [channels, slots + 1]
extern "C" __global__ void fill_tails(
    int slots, const long long* counts, int first, int last, Tail* tails) {
  counts += (Long)blockIdx.x * 2 * slots;
  tails += (Long)blockIdx.x * (slots + 1);
  if (threadIdx.x == 0) tails[slots] = Tail{0, 0, 0, 0};
  double mass_beyond = 0, excess_beyond = 0, square_beyond = 0;
  for (int start = 0; start < slots; start += blockDim.x) {
    int slot = slots - 1 - start - (int)threadIdx.x;
    long long count = 0;
    for (int sign = first; sign <= last && slot >= 0; ++sign)
      count += counts[(Long)sign * slots + slot];
    double h = (double)count;
    double mass = sum_before(h, &mass_beyond);
    double of_excess = mass + h / 2;
    double excess = sum_before(of_excess, &excess_beyond);
    double of_square = 2 * excess + mass + h / 3;
    double square = sum_before(of_square, &square_beyond);
    if (slot >= 0)
      tails[slot] = Tail{h / 2, mass + h, excess + of_excess, square + of_square};
  }
}

// J(b), the integral of (x - b) beyond an edge b from 0 on.
static __device__ __forceinline__ double excess_at(
    const Tail* tails, int slots, double edge) {
  if (!(edge < slots)) return 0;
  int slot = (int)edge;
  double part = edge - slot;
  Tail tail = tails[slot];
  return tail.excess - part * (tail.mass - part * tail.half);
}

// The errors inside and beyond a reach, of steps finer than slots.
struct Parts {
  double inside, beyond;
};

static __device__ __forceinline__ Parts fine_parts(
    const Tail* tails, int slots, double step, double reach) {
  int slot = reach > 0 ? (reach < slots ? (int)reach : slots) : 0;
  double part = reach - slot;
  Tail tail = tails[slot];
  double inner = tail.mass - part * tail.half * (2.0 / 3);
  double inside = tails[0].mass - (tail.mass - 2 * part * tail.half);
  return Parts{step * step * (1.0 / 12) * inside,
               tail.square - part * (2 * tail.excess - part * inner)};
}
