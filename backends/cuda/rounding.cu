// Quantize and fake-quantize contiguous data. -DCODE_BITS: 8 or 16, of a stored code;
// -DUNROLL: packets that a thread has in flight.
//
// Launch, for both kernels:
//   grid    any; block THREADS; shared none.
//   x       [n]; out [n], of codes or of the data's dtype.
//   packets how many whole packets of 16 bytes are to be taken at once: 0 where x is not
//           aligned or a packet's elements differ in their scale, else n / WIDTH.
//   scale, zero: float32 and int32, as the layout finds them.

#if CODE_BITS == 16
typedef unsigned short Code;
#else
typedef Byte Code;
#endif

struct Value {
  Raw raw;
};

struct alignas(WIDTH * sizeof(Code)) Codes {
  Code items[16 / sizeof(Raw)];
};

struct alignas(16) Values {
  Value items[16 / sizeof(Raw)];
};

static __device__ __forceinline__ void store(Code* to, const Codes& codes) {
  *(Codes*)to = codes;
}
static __device__ __forceinline__ void store(Value* to, const Values& values) {
  store_packet(to, values);
}

static __device__ __forceinline__ void put(Rounded y, float, Code& out) {
  out = (Code)y.code;
}
static __device__ __forceinline__ void put(Rounded y, float scale, Value& out) {
  out.raw = Data::raw(times(y.steps, (Real)scale));
}

template <class Out, class Outs>
static __device__ __forceinline__ void round_all(
    const Raw* x, Out* out, const float* scale, const int* zero, Long n, Long packets,
    const Layout& layout, const Format& format) {
  Long tile = (Long)blockDim.x * UNROLL;
  for (Long first = blockIdx.x * tile + threadIdx.x; first < packets;
       first += gridDim.x * tile) {
    Packet loaded[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) {
      Long p = first + (Long)u * blockDim.x;
      if (p < packets) loaded[u] = load_packet(x + p * WIDTH);
    }
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) {
      Long p = first + (Long)u * blockDim.x;
      if (p >= packets) break;
      Outs done;
      Long s = scale_of(p * WIDTH, layout);
      float step = scale[s];
      int offset = zero[s];
#pragma unroll
      for (int j = 0; j < WIDTH; ++j)
        put(rounded(loaded[u].items[j], step, offset, format), step, done.items[j]);
      store(out + p * WIDTH, done);
    }
  }
  Long thread = (Long)blockIdx.x * blockDim.x + threadIdx.x;
  Long threads = (Long)gridDim.x * blockDim.x;
  for (Long i = packets * WIDTH + thread; i < n; i += threads) {
    Long s = scale_of(i, layout);
    put(rounded(x[i], scale[s], zero[s], format), scale[s], out[i]);
  }
}

#define ROUND(name, Out, Outs)                                                      \
  extern "C" __global__ void __launch_bounds__(THREADS) name(                       \
      const Raw* x, Out* out, const float* scale, const int* zero, Long n,          \
      Long packets, Long inner, Long channels, Long length, Long size, Long blocks, \
      int low, int high, int mantissa, int first, int bits,         \
      int nan_code, float largest) {                                                \
    Layout layout = {inner, channels, length, size, blocks};                            \
    Format format = {low, high, mantissa, first, bits, nan_code, largest};          \
    round_all<Out, Outs>(x, out, scale, zero, n, packets, layout, format);            \
  }

ROUND(quantize, Code, Codes)
ROUND(fake_quantize, Value, Values)
