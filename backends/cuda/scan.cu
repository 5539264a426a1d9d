// Running sums over the threads of a block. Put before density.cu and entropy.cu.

// Return the sum of x over the threads before this one, and `*before`, to which that
// over all threads is added. Shared memory: 8 bytes a warp.
static __device__ double sum_before(double x, double* before) {
  extern __shared__ double sums[];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  double sum = x;
#pragma unroll
  for (int distance = 1; distance < 32; distance <<= 1) {
    double other = __shfl_up_sync(FULL_WARP, sum, distance);
    if (lane >= distance) sum += other;
  }
  double within = __shfl_up_sync(FULL_WARP, sum, 1);
  if (lane == 0) within = 0;
  if (lane == 31) sums[warp] = sum;
  __syncthreads();
  double of_warps = 0, all = 0;
  for (int w = 0; w < blockDim.x / 32; ++w) {
    if (w == warp) of_warps = all;
    all += sums[w];
  }
  __syncthreads();  // all have read what the next call writes
  double found = *before + of_warps + within;
  *before += all;
  return found;
}
