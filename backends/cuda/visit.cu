// Visit the values of a row and count them on a dyadic grid; see
// qcore/statistics/tally.py for what the counts are. Put before tally.cu.
//
// -DTABLE=0: a block counts in shared memory; 1: in global memory, where the slots are
// too many; 2: in global memory, by weights. -DKEEP=1: a mask says what counts.

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
