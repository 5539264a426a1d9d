// How one number is rounded to a format, and which scale it has; qcore/affine.py and
// qcore/minifloat.py say the same for arrays. -DFLOAT_FORMAT=1: the format is one of
// floats. Put before rounding.cu and gradient.cu.

static __device__ __forceinline__ float divided(float x, float y) { return __fdiv_rn(x, y); }
static __device__ __forceinline__ double divided(double x, double y) { return __ddiv_rn(x, y); }
static __device__ __forceinline__ float times(float x, float y) { return __fmul_rn(x, y); }
static __device__ __forceinline__ double times(double x, double y) { return __dmul_rn(x, y); }
static __device__ __forceinline__ float plus(float x, float y) { return __fadd_rn(x, y); }
static __device__ __forceinline__ double plus(double x, double y) { return __dadd_rn(x, y); }
static __device__ __forceinline__ float whole(float x) { return rintf(x); }
static __device__ __forceinline__ double whole(double x) { return rint(x); }
static __device__ __forceinline__ float size_of(float x) { return fabsf(x); }
static __device__ __forceinline__ double size_of(double x) { return fabs(x); }

static __device__ __forceinline__ int exponent_of(float x) {
  return (int)(__float_as_uint(x) >> 23 & 0xff) - 127;
}
static __device__ __forceinline__ int exponent_of(double x) {
  return (int)((Long)__double_as_longlong(x) >> 52 & 0x7ff) - 1023;
}
static __device__ __forceinline__ float power_of_two(int e, float) {
  return __uint_as_float((Word)(127 + e) << 23);
}
static __device__ __forceinline__ double power_of_two(int e, double) {
  return __longlong_as_double((long long)(1023 + e) << 52);
}

// The codes low to high of integers; of floats: high, the code of the largest number,
// widths in bits of the significand's field and of a code, the exponent of the smallest
// normal number, and the code of NaN or -1.
struct Format {
  int low, high, mantissa, first, bits, nan_code;
  float largest;
};

// What a number becomes: whole steps of the scale, of which `is_inside` tells whether
// they were reached without saturating.
struct Rounded {
  Real quotient, steps;
  bool is_inside;
  int code;
};

static __device__ __forceinline__ Rounded rounded(
    Raw raw, float scale, int zero, const Format& format) {
  Real x = Data::real(raw);
  Rounded y;
  y.quotient = x == 0 ? x : divided(x, (Real)scale);
#if FLOAT_FORMAT
  Real magnitude = size_of(y.quotient);
  y.is_inside = magnitude <= (Real)format.largest;
  if (magnitude > (Real)format.largest) magnitude = (Real)format.largest;
  int exponent = exponent_of(magnitude);
  if (exponent < format.first) exponent = format.first;
  Real multiple = whole(times(magnitude, power_of_two(format.mantissa - exponent, x)));
  Real nearest = times(multiple, power_of_two(exponent - format.mantissa, x));
  y.steps = y.quotient < 0 ? -nearest : nearest;
  int sign = (int)Data::is_negative(raw) << (format.bits - 1);
  if (x != x) {
    y.code = format.nan_code < 0 ? format.high + (1 << (format.bits - 1))
                                 : format.nan_code + sign;
  } else {
    // A full significand carries into the exponent field by itself.
    y.code = ((exponent - format.first) << format.mantissa) + (int)multiple + sign;
  }
#else
  Real low = (Real)format.low, high = (Real)format.high;
  Real code = plus(whole(y.quotient), (Real)zero);
  y.is_inside = code >= low && code <= high;
  code = code < low ? low : (code > high ? high : code);  // NaN stays
  y.steps = plus(code, -(Real)zero);
  y.code = code == code ? (int)code : format.low;
#endif
  return y;
}

// Which of the scales an element has. Where `size` is 0 they lie along one axis of
// `channels`, each `inner` elements long; else there is one for every `size` elements
// along an axis of `length`, which has `blocks` of them.
struct Layout {
  Long inner, channels, length, size, blocks;
};

static __device__ __forceinline__ Long quotient_of(Long a, Long b) {
  return (a | b) >> 32 ? a / b : (Long)((Word)a / (Word)b);
}

static __device__ __forceinline__ Long scale_of(Long i, const Layout& layout) {
  if (layout.channels == 1) return 0;
  Long outer = quotient_of(i, layout.inner);
  if (layout.size == 0) return outer - quotient_of(outer, layout.channels) * layout.channels;
  Long row = quotient_of(outer, layout.length);
  Long block = row * layout.blocks + quotient_of(outer - row * layout.length, layout.size);
  return block * layout.inner + (i - outer * layout.inner);
}
