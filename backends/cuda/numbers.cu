// Numbers as patterns, loads of 16 bytes, and sums over a warp. Put before every other
// file; -DDATA_<dtype> says what the data is. Nothing is included, so that NVRTC needs
// no headers, and nothing but plain CUDA is used, so that g++ runs it behind a shim.

typedef unsigned char Byte;
typedef unsigned int Word;
typedef unsigned long long Long;

#define SIGN 0x80000000u
#define NORMAL 0x00800000u
#define INFINITE 0x7f800000u
#define FULL_WARP 0xffffffffu

struct Half {
  typedef unsigned short Raw;
  typedef float Real;
  static __device__ __forceinline__ float real(Raw x) { return half_to_float(x); }
  static __device__ __forceinline__ bool is_negative(Raw x) { return x >> 15; }
  static __device__ __forceinline__ Raw raw(float x) { return float_to_half(x); }
  static __device__ __forceinline__ Raw nan() { return 0x7fff; }

 private:
  static __device__ __forceinline__ float half_to_float(Raw x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
#else
    return host_half_to_float(x);
#endif
  }
  static __device__ __forceinline__ Raw float_to_half(float x) {
#ifdef __CUDA_ARCH__
    Raw y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
#else
    return host_float_to_half(x);
#endif
  }
};

struct Brain {
  typedef unsigned short Raw;
  typedef float Real;
  static __device__ __forceinline__ float real(Raw x) {
    return __uint_as_float((Word)x << 16);
  }
  static __device__ __forceinline__ bool is_negative(Raw x) { return x >> 15; }
  static __device__ __forceinline__ Raw raw(float x) {
    Word bits = __float_as_uint(x);
    if ((bits & ~SIGN) > INFINITE) return (Raw)((bits >> 16) | 0x40);  // a quiet NaN
    return (Raw)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
  static __device__ __forceinline__ Raw nan() { return 0x7fff; }
};

struct Single {
  typedef float Raw;
  typedef float Real;
  static __device__ __forceinline__ float real(Raw x) { return x; }
  static __device__ __forceinline__ bool is_negative(Raw x) {
    return __float_as_uint(x) >> 31;
  }
  static __device__ __forceinline__ Raw raw(float x) { return x; }
  static __device__ __forceinline__ Raw nan() { return __uint_as_float(0x7fffffff); }
};

struct Double {
  typedef double Raw;
  typedef double Real;
  static __device__ __forceinline__ double real(Raw x) { return x; }
  static __device__ __forceinline__ bool is_negative(Raw x) {
    return __double_as_longlong(x) < 0;
  }
  static __device__ __forceinline__ Raw raw(double x) { return x; }
  static __device__ __forceinline__ Raw nan() {
    return __longlong_as_double(0x7fffffffffffffffLL);
  }
};

#if defined(DATA_float16)
typedef Half Data;
#elif defined(DATA_bfloat16)
typedef Brain Data;
#elif defined(DATA_float64)
typedef Double Data;
#else
typedef Single Data;
#endif

typedef Data::Raw Raw;
typedef Data::Real Real;

#define WIDTH ((int)(16 / sizeof(Raw)))  // elements of a packet

struct alignas(16) Packet {
  Raw items[16 / sizeof(Raw)];
};

// Data is read once, so it shall not push anything else out of the caches.
static __device__ __forceinline__ Packet load_packet(const Raw* from) {
  uint4 words = __ldcs((const uint4*)from);
  Packet packet;
  memcpy(&packet, &words, 16);
  return packet;
}

// Any 16 bytes at once, which the compiler does not do by itself.
template <class T>
static __device__ __forceinline__ void store_packet(void* to, const T& packet) {
  uint4 words;
  memcpy(&words, &packet, 16);
  __stcs((uint4*)to, words);
}

template <class T>
static __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int lane = 16; lane; lane >>= 1) x += __shfl_xor_sync(FULL_WARP, x, lane);
  return x;
}

static __device__ __forceinline__ Word warp_max(Word x) {
#pragma unroll
  for (int lane = 16; lane; lane >>= 1) {
    Word other = __shfl_xor_sync(FULL_WARP, x, lane);
    x = other > x ? other : x;
  }
  return x;
}

static __device__ __forceinline__ bool leads_warp() { return threadIdx.x % 32 == 0; }
