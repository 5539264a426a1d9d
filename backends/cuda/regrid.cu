// Add up neighbouring slots until they are wide enough; see `regrid` of
// qcore/statistics/tally.py.
//
//   grid   2 blocks for each row, one for each sign; block any; shared none.
//   counts, coarse        [rows, 2, slots]
//   exponents, wider      [rows, 2, 256]
//   k, new_k              [rows], new_k not below k. What an exponent beyond all
//                         fields would count, as of infinity, is dropped.

#define EXPONENTS 256
#define RUN 32  // slots that a thread adds up by itself

extern "C" __global__ void regrid(
    int slots, const Long* counts, const Long* exponents, const int* k,
    const int* new_k, Long* coarse, Long* wider) {
  Long row = blockIdx.x / 2;
  int old = k[row];
  int shift = new_k[row] - old;
  int doublings = 31 - __clz(slots);
  int folds = shift < doublings ? shift : doublings;
  counts += (Long)blockIdx.x * slots;
  coarse += (Long)blockIdx.x * slots;
  exponents += (Long)blockIdx.x * EXPONENTS;
  wider += (Long)blockIdx.x * EXPONENTS;

  for (int i = threadIdx.x; i < EXPONENTS; i += blockDim.x) wider[i] = exponents[i];
  for (int i = threadIdx.x; i < slots; i += blockDim.x)
    coarse[i] = folds > 0 ? 0 : counts[i];
  if (folds <= 0) return;
  __syncthreads();

  for (int first = threadIdx.x * RUN; first < slots; first += blockDim.x * RUN) {
    int end = first + RUN < slots ? first + RUN : slots;
    Long sum = 0, of_run = 0;
    for (int i = first; i < end; ++i) {
      sum += counts[i];
      of_run += counts[i];
      // A run begins and ends at edges of the new slots, or lies within one of them.
      if (i + 1 == end || ((i + 1) >> folds) != (i >> folds)) {
        if (sum) atomicAdd(&coarse[i >> folds], sum);
        sum = 0;
      }
      // Slots 2**o to 2**(o + 1) hold the values of exponent k + o.
      if (first == 0 && i > 0) {
        int octave = 31 - __clz(i);
        int field = octave + old + 127;
        if (octave < folds && field < EXPONENTS && counts[i])
          atomicAdd(&wider[field], counts[i]);
      }
    }
    if (first > 0) {
      int octave = 31 - __clz(first);
      int field = octave + old + 127;
      if (octave < folds && field < EXPONENTS && of_run)
        atomicAdd(&wider[field], of_run);
    }
  }
}
