// The divergence of windows from counts; qcore/methods/divergence.py has the formula.

struct alignas(16) Held {
  double count, filled;  // of all slots before an edge
};

// x ln x of counts, 0 at 0.
static __device__ __forceinline__ double x_log_x(double x) { return x * log(fmax(x, 1.0)); }

// Write the running sums over slots.
//   grid   a block for each channel; block a multiple of 32; shared 8 bytes a warp.
//   line   [channels, slots]
//   held, information [channels, slots + 1]: counts and filled slots, and h ln h.
extern "C" __global__ void fill_sums(
    int slots, const long long* line, Held* held, double* information) {
  line += (Long)blockIdx.x * slots;
  held += (Long)blockIdx.x * (slots + 1);
  information += (Long)blockIdx.x * (slots + 1);
  long long counted = 0, filled = 0;  // whole, so that none are left where none are
  double known = 0;
  for (int start = 0; start <= slots; start += blockDim.x) {
    int slot = start + (int)threadIdx.x;
    long long h = slot < slots ? line[slot] : 0;
    long long count = sum_before(h, &counted);
    long long number = sum_before((long long)(h > 0), &filled);
    double sum = sum_before(x_log_x((double)h), &known);
    if (slot <= slots) {
      held[slot] = Held{(double)count, (double)number};
      information[slot] = sum;
    }
  }
}

// The groups of a window: their edges as fractions of it, or null where they are of one
// width and too many for a table.
struct Groups {
  const double* cells;
  int number;
};

static __device__ __forceinline__ int edge_of(
    int group, const Groups& groups, double width) {
  double cell = groups.cells ? groups.cells[group] : (double)group / groups.number;
  return (int)ceil(width * cell - 1e-11);
}

// The sum over groups of S ln(S / n).
static __device__ double merged(
    const Held* held, int first, int last, const Groups& groups) {
  double width = last - first, total = 0;
  Held below = held[first];
  for (int group = 1; group <= groups.number; ++group) {
    Held above = held[first + edge_of(group, groups, width)];
    double count = above.count - below.count;
    double filled = fmax(above.filled - below.filled, 1.0);
    if (count > 0) total += count * log(fmax(count, 1.0) / filled);
    below = above;
  }
  return total;
}

// What outliers add that count in the slot `place` of the group from start to stop.
static __device__ double outlier_terms(
    const Held* held, int slots, int start, int place, int stop, double outliers) {
  start = start < slots ? start : slots;
  stop = stop < slots ? stop : slots;
  place = place > 0 ? place : 0;
  double count = held[place + 1 < slots ? place + 1 : slots].count - held[place].count;
  if (outliers > 0 && count == 0) return __longlong_as_double(0x7ff0000000000000LL);
  // In a window of fewer slots than groups the slot may be all of its group.
  double group = fmax(held[stop].count - held[start].count, count);
  double filled = fmax(held[stop].filled - held[start].filled, 1.0);
  double density = fmax(group, 1.0) / filled;
  return x_log_x(count + outliers) - x_log_x(count) - outliers * log(density);
}

// Write divergences, or sums over groups where `beside` is null.
//   grid   channels * ceil(windows / THREADS) blocks; block THREADS; shared none.
//   first, last [channels, windows], or one row where their stride is 0
//   allowed, values [channels, windows]: infinity where a window is not allowed, or 0.
//   beside [channels]: counts beyond the line's beginning.
//   cells  [groups + 1], see `Groups`; is_even: whether the groups are of one width.
extern "C" __global__ void __launch_bounds__(THREADS) divergences(
    const Held* held, const double* information, int slots, const long long* first,
    Long first_stride, const long long* last, Long last_stride, const Byte* allowed,
    int windows, const long long* beside, const double* cells, int groups, int is_even,
    double* values) {
  Word chunks = (windows + blockDim.x - 1) / blockDim.x;
  Long channel = blockIdx.x / chunks;
  int window = (int)(blockIdx.x % chunks * blockDim.x + threadIdx.x);
  if (window >= windows) return;
  Long at = channel * windows + window;
  const double infinite = __longlong_as_double(0x7ff0000000000000LL);
  if (!allowed[at]) {
    values[at] = beside ? infinite : 0;
    return;
  }
  held += channel * (slots + 1);
  information += channel * (slots + 1);
  int start = (int)first[channel * first_stride + window];
  int stop = (int)last[channel * last_stride + window];
  Groups cut = {cells, groups};
  double known = information[stop] - information[start];
  // A group has at most one slot where there are no fewer groups than slots.
  bool is_known = is_even && stop - start <= groups;
  double of_groups = is_known ? known : merged(held, start, stop, cut);
  if (!beside) {
    values[at] = of_groups;
    return;
  }
  double inside = held[stop].count - held[start].count;
  if (!(inside > 0)) {
    values[at] = infinite;
    return;
  }
  double aside = (double)beside[channel];
  double total = held[slots].count + aside;
  int second = start + edge_of(1, cut, stop - start);
  int final = start + edge_of(groups - 1, cut, stop - start);
  known += outlier_terms(held, slots, start, start, second, held[start].count + aside);
  known += outlier_terms(
      held, slots, final, stop - 1, stop, total - aside - held[stop].count);
  double value = (known - of_groups) / total + log(inside / total);
  values[at] = value < 1e-12 ? 0 : value;  // a smaller one is rounding error
}
