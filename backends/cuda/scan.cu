// Running sums over the threads of a block. Put before density.cu and entropy.cu.

// Return the sum of x over the threads before this one, and `*before`, to which that
// over all threads is added. Of numbers of 8 bytes; shared memory: as many a warp.
template <class T>
static __device__ T sum_before(T x, T* before) {
  extern __shared__ double sums[];
  T* of_warp = (T*)sums;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  T sum = x;
#pragma unroll
  for (int distance = 1; distance < 32; distance <<= 1) {
    T other = __shfl_up_sync(FULL_WARP, sum, distance);
    if (lane >= distance) sum += other;
  }
  T within = __shfl_up_sync(FULL_WARP, sum, 1);
  if (lane == 0) within = 0;
  if (lane == 31) of_warp[warp] = sum;
  __syncthreads();
  T of_warps = 0, all = 0;
  for (int w = 0; w < blockDim.x / 32; ++w) {
    if (w == warp) of_warps = all;
    all += of_warp[w];
  }
  __syncthreads();  // all have read what the next call writes
  T found = *before + of_warps + within;
  *before += all;
  return found;
}
