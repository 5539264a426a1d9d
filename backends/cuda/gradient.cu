// The gradients that fake quantization passes on; see qcore/gradient.py. The scale's is
// added up in float64, in an order that depends on the shape alone. -DUNROLL: packets
// that a thread has in flight.

#define RESIDENT 4  // blocks that shall fit a multiprocessor

struct Pair {
  Raw of_x;
  double of_scale;
};

static __device__ __forceinline__ Pair passed(
    Raw gradient, Raw x, float scale, int zero, const Format& format) {
  Rounded y = rounded(x, scale, zero, format);
  Real slope = y.is_inside ? plus(y.steps, -y.quotient) : y.steps;
  Pair pair;
  pair.of_x = y.is_inside ? gradient : Data::raw((Real)0);
  pair.of_scale = __dmul_rn((double)Data::real(gradient), (double)slope);
  return pair;
}

// Return to thread 0 the sum over a block, whose threads add up in a fixed order.
static __device__ __forceinline__ double block_sum(double x) {
  extern __shared__ double sums[];
  x = warp_sum(x);
  if (leads_warp()) sums[threadIdx.x / 32] = x;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0)
    for (Word warp = 0; warp < blockDim.x / 32; ++warp) sum += sums[warp];
  return sum;
}

// Rows of elements that share a scale.
//   grid    rows * parts blocks where `is_wide`: block b takes part b % parts of row
//           b / parts; else a warp takes a row: ceil(rows / (THREADS / 32)) blocks.
//   block   THREADS, a multiple of 32; shared 8 * (THREADS / 32) bytes.
//   row r   begins at (r / blocks) * length + (r % blocks) * size and has `size`
//           elements, or what is left of `length`; its scale is r % channels.
//   is_aligned: whether gradient, x and of_x are equally far from multiples of 16.
//   partial [rows, parts]; or null, where each scale has one row and one part, and
//           of_scale [rows] takes the sums.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) gradient_rows(
    const Raw* gradient, const Raw* x, Raw* of_x, double* partial, float* of_scale,
    const float* scale, const int* zero, Long rows, Long length, Long size, Long blocks, Long channels,
    Word parts, int is_wide, int is_aligned, int low, int high, int mantissa, int first,
    int bits, int nan_code, float largest) {
  Format format = {low, high, mantissa, first, bits, nan_code, largest};
  Long warp = blockIdx.x * (Long)(blockDim.x / 32) + threadIdx.x / 32;
  Long row = is_wide ? blockIdx.x / parts : warp;
  Word part = is_wide ? blockIdx.x % parts : 0;
  Word lane = is_wide ? threadIdx.x : threadIdx.x % 32;
  Word lanes = is_wide ? blockDim.x : 32;
  double sum = 0;
  if (row < rows) {
    Long within = row % blocks * size;
    Long begin = row / blocks * length + within;
    Long count = size < length - within ? size : length - within;
    gradient += begin;
    x += begin;
    of_x += begin;
    float step = scale[row % channels];
    int offset = zero[row % channels];
    Long lead = (16 - (Long)x % 16) % 16 / sizeof(Raw);
    if (lead > count || !is_aligned) lead = count;
    Long packets = (count - lead) / WIDTH;
    Long tile = (Long)lanes * UNROLL;
    for (Long start = part * tile; start < packets; start += parts * tile) {
      Packet gradients[UNROLL], loaded[UNROLL];
#pragma unroll
      for (int u = 0; u < UNROLL; ++u) {
        Long p = start + (Long)u * lanes + lane;
        if (p < packets) {
          gradients[u] = load_packet(gradient + lead + p * WIDTH);
          loaded[u] = load_packet(x + lead + p * WIDTH);
        }
      }
#pragma unroll
      for (int u = 0; u < UNROLL; ++u) {
        Long p = start + (Long)u * lanes + lane;
        if (p < packets) {
          Packet done;
#pragma unroll
          for (int j = 0; j < WIDTH; ++j) {
            Pair pair = passed(
                gradients[u].items[j], loaded[u].items[j], step, offset, format);
            done.items[j] = pair.of_x;
            sum += pair.of_scale;
          }
          store_packet(of_x + lead + p * WIDTH, done);
        }
      }
    }
    // What lies before and behind the packets: all, where nothing is aligned.
    Long outside = count - packets * WIDTH;
    for (Long e = part * (Long)lanes + lane; e < outside; e += (Long)parts * lanes) {
      Long i = e < lead ? e : e + packets * WIDTH;
      Pair pair = passed(gradient[i], x[i], step, offset, format);
      of_x[i] = pair.of_x;
      sum += pair.of_scale;
    }
  }
  sum = is_wide ? block_sum(sum) : warp_sum(sum);
  if (lane > 0 || row >= rows) return;
  if (partial) partial[is_wide ? blockIdx.x : row] = sum;
  else of_scale[row] = (float)sum;
}

// Columns, as where the scales lie along the last axis.
//   grid    ceil(columns / THREADS) * parts blocks; block THREADS; shared none.
//   data    [rows, columns]; the scale of column j is j / inner.
//   partial [parts, columns]
extern "C" __global__ void __launch_bounds__(THREADS) gradient_columns(
    const Raw* gradient, const Raw* x, Raw* of_x, double* partial, const float* scale,
    const int* zero, Long rows, Long columns, Long inner, Word parts, int low, int high,
    int mantissa, int first, int bits, int nan_code, float largest) {
  Format format = {low, high, mantissa, first, bits, nan_code, largest};
  Long column = blockIdx.x / parts * (Long)blockDim.x + threadIdx.x;
  Long part = blockIdx.x % parts;
  if (column >= columns) return;
  float step = scale[column / inner];
  int offset = zero[column / inner];
  double sum = 0;
  for (Long row = part; row < rows; row += parts) {
    Long i = row * columns + column;
    Pair pair = passed(gradient[i], x[i], step, offset, format);
    of_x[i] = pair.of_x;
    sum += pair.of_scale;
  }
  partial[part * columns + column] = sum;
}

// Add up what belongs to each scale: partial[c * stride + a * step + b], a below
// `count` and b below `width`.
//   grid    a block for each scale; block at most THREADS, a multiple of 32; shared 8 * (THREADS / 32) bytes.
//   of_scale [scales]
extern "C" __global__ void __launch_bounds__(THREADS) gradient_sum(
    const double* partial, float* of_scale, Long stride, Long count, Long step,
    Long width) {
  double sum = 0;
  for (Long i = threadIdx.x; i < count * width; i += blockDim.x)
    sum += partial[blockIdx.x * stride + i / width * step + i % width];
  sum = block_sum(sum);
  if (threadIdx.x == 0) of_scale[blockIdx.x] = (float)sum;
}
