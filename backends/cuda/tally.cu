// Count rows on a dyadic grid; see qcore/statistics/tally.py for what the counts are.
//
// -DTABLE=0: a block counts in shared memory; 1: in global memory, where the slots are
// too many; 2: in global memory, by weights. -DKEEP=1: a mask says what counts.
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

#define EXPONENTS 256
#define UNROLL (sizeof(Raw) == 2 ? 2 : 4)  // packets that a thread has in flight
#define SUMMARY 8  // words of shared memory behind the table

#if TABLE == 2
typedef Long Total;
#else
typedef Word Total;
#endif

// Both ends of the range as whole numbers that order like the floats and are never 0,
// so that zeroed memory means that nothing was seen, and the larger one is kept.
static __device__ __forceinline__ Word high_key(float x) {
  Word bits = __float_as_uint(x);
  return bits & SIGN ? ~bits : bits | SIGN;
}

static __device__ __forceinline__ float of_high_key(Word key) {
  return __uint_as_float(key & SIGN ? key & ~SIGN : ~key);
}

static __device__ __forceinline__ float infinity() { return __uint_as_float(INFINITE); }

static __device__ __forceinline__ Word pattern_of(Raw x) {
#if defined(DATA_float64)
  return __float_as_uint(__double2float_rn(x));
#else
  return __float_as_uint(Data::real(x));
#endif
}

// What a thread has seen beside the table.
struct Seen {
  float low, high;
  Total zeros, nans, low_infs, high_infs;
};

struct Grid {
  float inverse, limit;  // one over a slot's width; slots
  int slots;
  // Byte addresses in shared memory: of the middle of the slots, negative ones below,
  // and of counts by the upper nine bits of a pattern, for values of slot 0.
  Word middle, small;
  Long* counts;  // of the row, in global memory
  Long* exponents;
};

static __device__ __forceinline__ Word shared_address(const void* p) {
#ifdef __CUDA_ARCH__
  return (Word)__cvta_generic_to_shared(p);
#else
  return host_shared_address(p);
#endif
}

// Add one to a word of shared memory if the value is normal and its slot below the
// limit. Written out, as the compiler would branch for each value.
static __device__ __forceinline__ void count_if(
    float magnitude, float scaled, float limit, Word address) {
#ifdef __CUDA_ARCH__
  asm volatile(
      "{\n"
      " .reg .pred p;\n"
      " setp.ge.f32 p, %0, 0f00800000;\n"
      " setp.lt.and.f32 p, %1, %2, p;\n"
      " @p red.shared.add.u32 [%3], 1;\n"
      "}" ::"f"(magnitude), "f"(scaled), "f"(limit), "r"(address) : "memory");
#else
  if (magnitude >= __uint_as_float(NORMAL) && scaled < limit)
    atomicAdd(host_shared_word(address), 1u);
#endif
}

// Count a finite value in shared memory, without a branch; pass over NaN.
template <bool RANGE, bool COUNT>
static __device__ __forceinline__ void visit_finite(
    float x, const Grid& grid, Seen& seen) {
  if (RANGE) {
    seen.low = fminf(seen.low, x);
    seen.high = fmaxf(seen.high, x);
    seen.zeros += fabsf(x) < __uint_as_float(NORMAL);
  }
  if (!COUNT) return;
  float scaled = __fmul_rn(x, grid.inverse);
  int slot = __float2int_rz(scaled);
  Word sign_and_exponent = __float_as_uint(x) >> 23;
  Word place = slot ? grid.middle + 4 * (Word)slot : grid.small + 4 * sign_and_exponent;
  count_if(fabsf(x), fabsf(scaled), grid.limit, place);
}

static __device__ __forceinline__ void visit_special(
    Word bits, Total amount, Seen& seen) {
  if ((bits & ~SIGN) > INFINITE) seen.nans += amount;
  else if (bits & SIGN) seen.low_infs += amount;
  else seen.high_infs += amount;
}

template <bool RANGE, bool COUNT>
static __device__ __forceinline__ void visit(
    Word bits, Total amount, const Grid& grid, Seen& seen) {
  Word magnitude = bits & ~SIGN;
  if (magnitude >= INFINITE) {
    if (RANGE) visit_special(bits, amount, seen);
    return;
  }
  float x = __uint_as_float(bits);
#if TABLE == 0
  visit_finite<RANGE, COUNT>(x, grid, seen);
#else
  if (RANGE) {
    seen.low = fminf(seen.low, x);
    seen.high = fmaxf(seen.high, x);
    if (magnitude < NORMAL) seen.zeros += amount;
  }
  if (!COUNT) return;
  float scaled = __fmul_rn(fabsf(x), grid.inverse);
  if (magnitude < NORMAL || scaled >= grid.limit) return;
  int slot = (int)scaled;
  Word side = 1 - (bits >> 31);
  atomicAdd(&grid.counts[(Long)side * grid.slots + slot], (Long)amount);
  if (slot == 0)
    atomicAdd(&grid.exponents[side * EXPONENTS + (magnitude >> 23)], (Long)amount);
#endif
}

template <bool RANGE, bool COUNT>
static __device__ __forceinline__ void visit_one(
    const Raw* row, const Byte* keep, const long long* weights, Long i,
    const Grid& grid, Seen& seen) {
#if KEEP
  if (!keep[i]) return;
#endif
#if TABLE == 2
  Total amount = (Total)weights[i];
#else
  Total amount = 1;
#endif
  visit<RANGE, COUNT>(pattern_of(row[i]), amount, grid, seen);
}

template <bool RANGE, bool COUNT>
static __device__ __forceinline__ void visit_packet(
    const Packet& packet, const Byte* keep, const long long* weights, Long i,
    const Grid& grid, Seen& seen) {
#pragma unroll
  for (int j = 0; j < WIDTH; ++j) {
#if KEEP
    if (!keep[i + j]) continue;
#endif
#if TABLE == 2
    Total amount = (Total)weights[i + j];
#else
    Total amount = 1;
#endif
    visit<RANGE, COUNT>(pattern_of(packet.items[j]), amount, grid, seen);
  }
}

#if TABLE == 0
// Visit packets at once, `stride` elements apart. What does not count, or is counted
// here, becomes NaN, which the rest passes over; so nothing there needs a branch, and
// the work on one value need not wait for that on another.
template <bool RANGE, bool COUNT>
static __device__ __forceinline__ void visit_packets(
    Packet* packets, const Byte* keep, Long stride, const Grid& grid, Seen& seen) {
  Word dropped = 0, largest = 0;
#pragma unroll
  for (int u = 0; u < UNROLL; ++u)
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
#if KEEP
      if (!keep[u * stride + j]) dropped |= 1u << (u * WIDTH + j);
#endif
      Word magnitude = pattern_of(packets[u].items[j]) & ~SIGN;
      largest = magnitude > largest ? magnitude : largest;
    }
  if (KEEP || largest >= INFINITE) {
#pragma unroll
    for (int u = 0; u < UNROLL; ++u)
#pragma unroll
      for (int j = 0; j < WIDTH; ++j) {
        Word bits = pattern_of(packets[u].items[j]);
        bool is_dropped = dropped >> (u * WIDTH + j) & 1;
        bool is_special = (bits & ~SIGN) >= INFINITE;
        if (RANGE && is_special && !is_dropped) visit_special(bits, 1, seen);
        if (is_special || is_dropped) packets[u].items[j] = Data::nan();
      }
  }
#pragma unroll
  for (int u = 0; u < UNROLL; ++u)
#pragma unroll
    for (int j = 0; j < WIDTH; ++j)
      visit_finite<RANGE, COUNT>(
          __uint_as_float(pattern_of(packets[u].items[j])), grid, seen);
}
#endif

// Visit the part of a row: packets in tiles that the parts take in turn, and what lies
// before and behind the packets, which part 0 takes.
template <bool RANGE, bool COUNT>
static __device__ __forceinline__ void visit_part(
    const Raw* row, const Byte* keep, const long long* weights, Long columns, Word part,
    Word parts, const Grid& grid, Seen& seen) {
  Long lead = (16 - (Long)row % 16) % 16 / sizeof(Raw);
  if (lead > columns) lead = columns;
  Long packets = (columns - lead) / WIDTH;
  if (part == 0) {
    for (Long i = threadIdx.x; i < lead; i += blockDim.x)
      visit_one<RANGE, COUNT>(row, keep, weights, i, grid, seen);
    for (Long i = lead + packets * WIDTH + threadIdx.x; i < columns; i += blockDim.x)
      visit_one<RANGE, COUNT>(row, keep, weights, i, grid, seen);
  }
  Long tile = (Long)blockDim.x * UNROLL;
  for (Long first = part * tile; first < packets; first += parts * tile) {
    Long i = first + threadIdx.x;
    if (first + tile <= packets) {
      Packet loaded[UNROLL];
#pragma unroll
      for (int u = 0; u < UNROLL; ++u)
        loaded[u] = load_packet(row + lead + (i + (Long)u * blockDim.x) * WIDTH);
#if TABLE == 0
      visit_packets<RANGE, COUNT>(
          loaded, keep + lead + i * WIDTH, (Long)blockDim.x * WIDTH, grid, seen);
#else
#pragma unroll
      for (int u = 0; u < UNROLL; ++u)
        visit_packet<RANGE, COUNT>(loaded[u], keep, weights,
                                   lead + (i + (Long)u * blockDim.x) * WIDTH, grid, seen);
#endif
    } else {
      for (; i < packets; i += blockDim.x) {
        Packet loaded = load_packet(row + lead + i * WIDTH);
        visit_packet<RANGE, COUNT>(loaded, keep, weights, lead + i * WIDTH, grid, seen);
      }
    }
  }
}

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
