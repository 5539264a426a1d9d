// A stand-in for CUDA on the CPU: every thread of a block is a fiber with its own stack,
// and __syncthreads() hands over to the next one. Shared memory is poisoned.
#pragma once
#include <cmath>
#include <cstring>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__
#define __launch_bounds__(...)

struct Place { unsigned x, y, z; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

#ifdef THREADS_SHIM
#include <barrier>
#include <memory>
#include <thread>
static thread_local Place threadIdx, blockIdx;
static Place blockDim{1, 1, 1}, gridDim{1, 1, 1};
static std::unique_ptr<std::barrier<>> all_;
static std::vector<std::unique_ptr<std::barrier<>>> warps_;
static void meet() { all_->arrive_and_wait(); }
static void meet_warp() { warps_[threadIdx.x / 32]->arrive_and_wait(); }
#define ATOMIC(op) op
template <class T> static T atomicAdd(T* p, T v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
template <class T> static T atomicMax(T* p, T v) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < v && !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
#else
static Place threadIdx, blockIdx, blockDim{1, 1, 1}, gridDim{1, 1, 1};
struct Fiber { ucontext_t context; std::vector<char> stack; bool is_done; };
static std::vector<Fiber> fibers_;
static ucontext_t scheduler_;
static unsigned current_;
static void yield() {
  unsigned self = current_;
  swapcontext(&fibers_[self].context, &scheduler_);
}
struct Meeting { unsigned count = 0, generation = 0; };
static Meeting all_;
static std::vector<Meeting> warps_;
static void meet(Meeting& m, unsigned members) {
  unsigned mine = m.generation;
  if (++m.count == members) { m.count = 0; ++m.generation; return; }
  while (m.generation == mine) yield();
}
static void meet() { meet(all_, blockDim.x); }
static void meet_warp() { meet(warps_[threadIdx.x / 32], 32); }
template <class T> static T atomicAdd(T* p, T v) { T old = *p; *p = old + v; return old; }
template <class T> static T atomicMax(T* p, T v) { T old = *p; if (v > old) *p = v; return old; }
#endif

#ifdef NO_SYNC  // plants races, to see that they are found
static void __syncthreads() {}
#else
static void __syncthreads() { meet(); }
#endif
static char exchange_[1024][8];
template <class T> static T __shfl_xor_sync(unsigned, T value, int lane) {
  std::memcpy(exchange_[threadIdx.x], &value, sizeof(T));
  meet_warp();
  std::memcpy(&value, exchange_[threadIdx.x ^ lane], sizeof(T));
  meet_warp();
  return value;
}
template <class T> static T __shfl_up_sync(unsigned, T value, int lanes) {
  std::memcpy(exchange_[threadIdx.x], &value, sizeof(T));
  meet_warp();
  int lane = threadIdx.x % 32;
  std::memcpy(&value, exchange_[lane < lanes ? threadIdx.x : threadIdx.x - lanes], sizeof(T));
  meet_warp();
  return value;
}
template <class T> static T __ldcs(const T* p) { return *p; }
template <class T> static void __stcs(T* p, T value) { *p = value; }
static unsigned __float_as_uint(float f) { unsigned u; std::memcpy(&u, &f, 4); return u; }
static float __uint_as_float(unsigned u) { float f; std::memcpy(&f, &u, 4); return f; }
static long long __double_as_longlong(double d) { long long u; std::memcpy(&u, &d, 8); return u; }
static double __longlong_as_double(long long u) { double d; std::memcpy(&d, &u, 8); return d; }
static float __double2float_rn(double d) { return (float)d; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fdiv_rn(float a, float b) { return a / b; }
static float __fadd_rn(float a, float b) { return a + b; }
static int __float2int_rz(float x) {  // it saturates, and NaN is 0
  if (x != x) return 0;
  return x >= 2147483648.0f ? 2147483647 : x <= -2147483648.0f ? (-2147483647 - 1) : (int)x;
}
static double __dmul_rn(double a, double b) { return a * b; }
static double __ddiv_rn(double a, double b) { return a / b; }
static double __dadd_rn(double a, double b) { return a + b; }
static int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static float host_half_to_float(unsigned short h) {
  _Float16 x; std::memcpy(&x, &h, 2); return (float)x;
}
static unsigned short host_float_to_half(float f) {
  _Float16 x = (_Float16)f; unsigned short h; std::memcpy(&h, &x, 2); return h;
}

alignas(16) unsigned memory[1 << 16];
alignas(16) double sums[1 << 10];
static unsigned host_shared_address(const void* p) { return (unsigned)((const char*)p - (const char*)memory); }
static unsigned* host_shared_word(unsigned address) { return memory + address / 4; }

template <class F> static void run_grid(unsigned grid, unsigned block, unsigned shared, F body) {
  gridDim.x = grid; blockDim.x = block;
#ifdef THREADS_SHIM
  all_ = std::make_unique<std::barrier<>>(block);
  warps_.clear();
  for (unsigned w = 0; w < (block + 31) / 32; ++w) warps_.push_back(std::make_unique<std::barrier<>>(32));
  std::memset(memory, 0xCD, sizeof memory);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < block; ++t) threads.emplace_back([=] {
    threadIdx.x = t;
    for (unsigned b = 0; b < grid; ++b) { blockIdx.x = b; body(); meet(); }
  });
  for (auto& t : threads) t.join();
#else
  struct Entry { static void call(unsigned low, unsigned high) {
    (*(F*)((unsigned long)low | (unsigned long)high << 32))();
    fibers_[current_].is_done = true;
    for (;;) yield();
  } };
  fibers_.resize(block);
  for (unsigned b = 0; b < grid; ++b) {
    blockIdx.x = b;
    all_ = {}; warps_.assign((block + 31) / 32, {});
    std::memset(memory, 0xCD, shared); std::memset(sums, 0xCD, shared < sizeof sums ? shared : sizeof sums);
    for (unsigned t = 0; t < block; ++t) {
      Fiber& f = fibers_[t];
      f.is_done = false; f.stack.resize(1 << 14);
      getcontext(&f.context);
      f.context.uc_stack.ss_sp = f.stack.data(); f.context.uc_stack.ss_size = f.stack.size(); f.context.uc_link = nullptr;
      unsigned long at = (unsigned long)&body;
      makecontext(&f.context, (void (*)())Entry::call, 2, (unsigned)at, (unsigned)(at >> 32));
    }
    for (bool is_running = true; is_running;) {
      is_running = false;
      for (unsigned t = 0; t < block; ++t) {
        if (fibers_[t].is_done) continue;
        current_ = threadIdx.x = t;
        swapcontext(&scheduler_, &fibers_[t].context);
        is_running |= !fibers_[t].is_done;
      }
    }
  }
#endif
}

// Call a kernel with its arguments as cuLaunchKernel takes them, and tell their sizes.
template <class... A, std::size_t... I>
static void call_kernel(void (*kernel)(A...), void** given, std::index_sequence<I...>) {
  kernel(*(A*)given[I]...);
}
template <class... A>
static void launch_kernel(void (*kernel)(A...), unsigned grid, unsigned block, unsigned shared, void** given) {
  run_grid(grid, block, shared, [=] { call_kernel(kernel, given, std::index_sequence_for<A...>()); });
}
template <class... A> static unsigned sizes_of(void (*)(A...), unsigned* sizes) {
  unsigned n = 0; ((sizes[n++] = sizeof(A)), ...); return n;
}
