// Count rows on a dyadic grid, a block each part of a row; visit.cu has the counting of
// a value, and the macros that choose where.
//
// -DTHREADS, -DRESIDENT: threads of a block, and blocks of a multiprocessor.
//
// Launch, for every kernel of this file but `settle`:
//   grid   rows * parts blocks: block b counts part b % parts of row b / parts; a part
//          has fewer than 2**31 elements.
//   block  THREADS, a multiple of 32.
//   shared 4 * (2 * slots + 2 * 256 + 8) bytes where TABLE is 0 and slots are counted,
//          else 32.
//   rows   [rows, columns], contiguous; keep and weights likewise, or null.
//   k      [rows]: log2 of the width of a slot.
//   grew   [rows]: rows to count, or null for all.
//   counts [rows, 2, slots], exponents [rows, 2, 256]: zeroed, unless parts is 1 and
//          TABLE is 0, when they are stored to, not added to.
//   zeros, nans [rows], infs [rows, 2], ends [rows, 2]: zeroed.

// Add up what the threads of a block have seen, and add that to the row's totals.
static __device__ __forceinline__ void store_seen(
    const Seen& seen, Word* summary, Long* zeros, Long* nans, Long* infs, Word* ends) {
  Word low = warp_max(seen.low < infinity() ? high_key(-seen.low) : 0);
  Word high = warp_max(seen.high > -infinity() ? high_key(seen.high) : 0);
  Total sums[4] = {warp_sum(seen.zeros), warp_sum(seen.nans), warp_sum(seen.low_infs),
                   warp_sum(seen.high_infs)};
  Long* places[4] = {zeros, nans, infs, infs + 1};
  if (leads_warp()) {
    if (low) atomicMax(&summary[4], low);
    if (high) atomicMax(&summary[5], high);
#if TABLE == 2
    for (int i = 0; i < 4; ++i)
      if (sums[i]) atomicAdd(places[i], sums[i]);
#else
    for (int i = 0; i < 4; ++i)
      if (sums[i]) atomicAdd(&summary[i], sums[i]);
#endif
  }
  __syncthreads();
  if (threadIdx.x < 4) {
#if TABLE != 2
    Word sum = summary[threadIdx.x];
    Long* place = threadIdx.x == 0 ? zeros
                  : threadIdx.x == 1 ? nans
                                     : infs + (threadIdx.x - 2);
    if (sum) atomicAdd(place, (Long)sum);
#endif
  } else if (threadIdx.x < 6) {
    Word key = summary[threadIdx.x];
    if (key) atomicMax(&ends[threadIdx.x - 4], key);
  }
}

// Move a block's table to the row's counts. Slot j > 0 lies j words above the middle or
// below it, and slot 0, the sum of what `small` counts, in the middle or at the start.
static __device__ __forceinline__ void store_table(
    Word* table, int slots, bool is_alone, Long* counts, Long* exponents) {
  Word* small = table + 2 * slots;
  for (int i = threadIdx.x; i < 2 * EXPONENTS; i += blockDim.x) {
    int side = 1 - i / EXPONENTS;
    Word sum = small[i];
    Long* place = &exponents[side * EXPONENTS + i % EXPONENTS];
    if (sum) atomicAdd(&table[side * slots], sum);
    if (is_alone) *place = sum;
    else if (sum) atomicAdd(place, (Long)sum);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 2 * slots; i += blockDim.x) {
    Word sum = table[i >= slots || i == 0 ? i : slots - i];
    if (is_alone) counts[i] = sum;
    else if (sum) atomicAdd(&counts[i], (Long)sum);
  }
}

template <bool RANGE, bool COUNT>
static __device__ __forceinline__ void tally(
    const Raw* rows, const Byte* keep, const long long* weights, Long columns,
    Word parts, int slots, const int* k, const Byte* grew, Long* counts,
    Long* exponents, Long* zeros, Long* nans, Long* infs, Word* ends) {
  extern __shared__ Word memory[];
  Long row = blockIdx.x / parts;
  if (grew && !grew[row]) return;
  const bool has_table = COUNT && TABLE == 0;
  Word* summary = has_table ? memory + 2 * slots + 2 * EXPONENTS : memory;
  int words = (has_table ? 2 * slots + 2 * EXPONENTS : 0) + SUMMARY;
  for (int i = threadIdx.x; i < words; i += blockDim.x) memory[i] = 0;
  __syncthreads();

  Grid grid;
  grid.slots = slots;
  grid.limit = (float)slots;
  grid.inverse = COUNT ? __uint_as_float((Word)(127 - k[row]) << 23) : 0.0f;
  grid.middle = shared_address(memory) + 4 * slots;
  grid.small = grid.middle + 4 * slots;
  grid.counts = counts + row * 2 * slots;
  grid.exponents = exponents + row * 2 * EXPONENTS;
  Seen seen = {infinity(), -infinity(), 0, 0, 0, 0};
  const Byte* kept = KEEP ? keep + row * columns : keep;
  const long long* weighed = TABLE == 2 ? weights + row * columns : weights;
  visit_part<RANGE, COUNT>(rows + row * columns, kept, weighed, columns,
                           blockIdx.x % parts, parts, grid, seen);
  __syncthreads();
  if (RANGE)
    store_seen(seen, summary, zeros + row, nans + row, infs + 2 * row, ends + 2 * row);
  if (has_table)
    store_table(memory, slots, parts == 1, grid.counts, grid.exponents);
}

#define TALLY(name, RANGE, COUNT)                                                    \
  extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) name(              \
      const Raw* rows, const Byte* keep, const long long* weights, Long columns,     \
      Word parts, int slots, const int* k, const Byte* grew, Long* counts,           \
      Long* exponents, Long* zeros, Long* nans, Long* infs, Word* ends) {            \
    tally<RANGE, COUNT>(rows, keep, weights, columns, parts, slots, k, grew, counts, \
                        exponents, zeros, nans, infs, ends);                         \
  }

// Find the range, and count what has no slot.
TALLY(tally_range, true, false)
// The same, and count what the grid `k` reaches.
TALLY(tally_once, true, true)
// Count what has a slot on the grid `k`, in rows that `grew`.
TALLY(tally_again, false, true)

// Choose the grid of each row, and forget counts on a grid that proved too narrow.
//   grid   a block for each row; block any; shared none.
//   given  [rows]: the grid that was counted on, or null if none was.
//   ends   [rows, 2], as `tally_range` left them; low, high [rows]: what they say.
//   k      [rows]: the grid; grew [rows]: whether rows are to be counted on it.
//   counts, exponents: cleared where a row grew, or null to leave them.
extern "C" __global__ void tally_settle(
    int slots, const int* given, const Word* ends, int* k, float* low, float* high,
    Byte* grew, Long* counts, Long* exponents) {
  Long row = blockIdx.x;
  Word low_key = ends[2 * row], key = ends[2 * row + 1];
  float least = low_key ? -of_high_key(low_key) : infinity();
  float most = key ? of_high_key(key) : -infinity();
  const float tiny = __uint_as_float(NORMAL);
  if (fabsf(least) < tiny) least = 0.0f;
  if (fabsf(most) < tiny) most = 0.0f;
  float amax = key ? fmaxf(-least, most) : 0.0f;
  // A magnitude of exponent field f is below 2**(f - 126), which slots * 2**k reaches.
  int doublings = 31 - __clz(slots);
  int wanted = (int)(__float_as_uint(amax) >> 23 & 0xff) - 126 - doublings;
  wanted = wanted < -126 ? -126 : (wanted > 126 ? 126 : wanted);
  int before = given ? given[row] : -127;
  bool is_wider = wanted > before;
  if (threadIdx.x == 0) {
    k[row] = is_wider ? wanted : before;
    low[row] = least;
    high[row] = most;
    grew[row] = is_wider;
  }
  if (!is_wider || !counts) return;
  for (int i = threadIdx.x; i < 2 * slots; i += blockDim.x)
    counts[row * 2 * slots + i] = 0;
  for (int i = threadIdx.x; i < 2 * EXPONENTS; i += blockDim.x)
    exponents[row * 2 * EXPONENTS + i] = 0;
}
