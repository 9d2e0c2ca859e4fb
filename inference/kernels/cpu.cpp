// One pass each over a decode step's or a prompt's recurrent state, and over keys and values
// where they lie. Loaded by cpu.py, which says what every tensor is. All sums are in float32, and
// in an order that depends on nothing but the row itself: the company a row has changes no bit.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <type_traits>
#include <vector>

using torch::stable::Tensor;

namespace {

constexpr int LANES = 16;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

struct BFloat16 {
  uint16_t bits;
};

inline float widen(float value) { return value; }

inline float widen(BFloat16 value) {
  uint32_t bits = uint32_t(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

inline void narrow(float wide, float& out) { out = wide; }

inline void narrow(float wide, BFloat16& out) {
  uint32_t bits;
  std::memcpy(&bits, &wide, sizeof bits);
  // To the nearest, ties to even; a NaN stays one.
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  out.bits = wide == wide ? uint16_t(rounded) : uint16_t(0x7FC0);
}

inline Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

inline float total(Lanes lanes) {
  float halves[LANES];
  std::memcpy(halves, &lanes, sizeof lanes);
  for (int width = LANES / 2; width; width /= 2)
    for (int at = 0; at < width; ++at) halves[at] += halves[at + width];
  return halves[0];
}

template <typename T>
T* data(const Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

template <typename Work>
void each(int64_t count, int64_t grain, const Work& work) {
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) work(at);
  });
}

// ---- causal convolution and SiLU -------------------------------------------------------------

template <typename T>
void conv_rows(const Tensor& x, const Tensor& taps, const Tensor& bias, Tensor& state,
               const Tensor& slots, const Tensor& lengths, const Tensor& fresh, Tensor& out) {
  const int64_t rows = x.size(0), length = x.size(1), channels = x.size(2);
  const int64_t history = state.size(2), kernel = history + 1;
  const int64_t row_step = x.stride(0), step = x.stride(1);
  const float *weights = data<float>(taps), *offset = data<float>(bias);
  each(rows, 1, [&](int64_t row) {
    const int64_t slot = data<int64_t>(slots)[row], real = data<int64_t>(lengths)[row];
    const bool silent = slot == 0 || data<bool>(fresh)[row];
    const T* heard = data<T>(x) + row * row_step;
    T* kept = data<T>(state) + slot * channels * history;
    // `history` columns from before, then the piece: (history + real, channels).
    std::vector<float> past((history + 1) * channels);
    for (int64_t back = 0; back < history; ++back)
      for (int64_t channel = 0; channel < channels; ++channel)
        past[back * channels + channel] = silent ? 0.f : widen(kept[channel * history + back]);
    for (int64_t at = 0; at < real; ++at) {
      float* newest = &past[((at + history) % kernel) * channels];
      const T* given = heard + at * step;
      for (int64_t channel = 0; channel < channels; ++channel)
        newest[channel] = widen(given[channel]);
      float* said = data<float>(out) + (row * length + at) * channels;
      std::memcpy(said, offset, channels * sizeof(float));
      for (int64_t tap = 0; tap < kernel; ++tap) {
        const float* one = &past[((at + tap) % kernel) * channels];
        const float* weight = weights + tap * channels;
        for (int64_t channel = 0; channel < channels; ++channel)
          said[channel] += weight[channel] * one[channel];
      }
      for (int64_t channel = 0; channel < channels; ++channel)
        said[channel] = said[channel] / (1.f + std::exp(-said[channel]));
    }
    std::memset(data<float>(out) + (row * length + real) * channels, 0,
                (length - real) * channels * sizeof(float));
    if (slot == 0) return;
    for (int64_t back = 0; back < history; ++back) {
      const float* one = &past[((real + back) % kernel) * channels];
      for (int64_t channel = 0; channel < channels; ++channel)
        narrow(one[channel], kept[channel * history + back]);
    }
  });
}

void conv(Tensor x, Tensor taps, Tensor bias, Tensor state, Tensor slots, Tensor lengths,
          Tensor fresh, Tensor out) {
  if (x.element_size() == 4)
    conv_rows<float>(x, taps, bias, state, slots, lengths, fresh, out);
  else
    conv_rows<BFloat16>(x, taps, bias, state, slots, lengths, fresh, out);
}

// ---- state-space recurrence -------------------------------------------------------------------

struct Line {
  const float *u, *b, *c, *step, *decay;
  int64_t real, channels, heads;
  float d;
};

// Carry WIDTH rows of the state, each VECTORS registers, over all tokens of a piece.
template <int VECTORS, int WIDTH>
void carry(const Line& line, float* kept, bool silent, bool keep, float* y, int64_t y_step) {
  Lanes state[WIDTH][VECTORS];
  for (int row = 0; row < WIDTH; ++row)
    for (int at = 0; at < VECTORS; ++at)
      state[row][at] = silent ? Lanes{} : load(kept + (row * VECTORS + at) * LANES);
  for (int64_t now = 0; now < line.real; ++now) {
    const float *u = line.u + now * line.channels, *b = line.b + now * line.channels,
                *c = line.c + now * line.channels;
    const float decay = line.decay[now], step = line.step[now * line.heads];
#pragma GCC unroll 2
    for (int row = 0; row < WIDTH; ++row) {
      const float added = step * u[row];
      Lanes sum{};
#pragma GCC unroll 16
      for (int at = 0; at < VECTORS; ++at) {
        state[row][at] = state[row][at] * decay + added * load(b + at * LANES);
        sum += state[row][at] * load(c + at * LANES);
      }
      y[now * y_step + row] = total(sum) + line.d * u[row];
    }
  }
  if (!keep) return;
  for (int row = 0; row < WIDTH; ++row)
    for (int at = 0; at < VECTORS; ++at)
      std::memcpy(kept + (row * VECTORS + at) * LANES, &state[row][at], sizeof(Lanes));
}

template <int VECTORS>
void scan_heads(const Tensor& mixed, const Tensor& step, const Tensor& rate, const Tensor& skip,
                Tensor& state, const Tensor& slots, const Tensor& lengths, const Tensor& fresh,
                Tensor& y) {
  const int64_t rows = mixed.size(0), length = mixed.size(1), channels = mixed.size(2);
  const int64_t heads = state.size(1), size = state.size(2), width = state.size(3);
  const int64_t groups = (channels - heads * size) / (2 * width);
  each(rows * heads, 1, [&](int64_t job) {
    const int64_t row = job / heads, head = job % heads, group = head / (heads / groups);
    const int64_t slot = data<int64_t>(slots)[row], real = data<int64_t>(lengths)[row];
    const float* first = data<float>(mixed) + row * length * channels;
    Line line;
    line.u = first + head * size;
    line.b = first + heads * size + group * width;
    line.c = line.b + groups * width;
    line.step = data<float>(step) + row * length * heads + head;
    line.real = real;
    line.channels = channels;
    line.heads = heads;
    line.d = data<float>(skip)[head];
    std::vector<float> decay(real);
    for (int64_t at = 0; at < real; ++at)
      decay[at] = std::exp(line.step[at * heads] * data<float>(rate)[head]);
    line.decay = decay.data();
    const bool silent = slot == 0 || data<bool>(fresh)[row];
    float* kept = data<float>(state) + (slot * heads + head) * size * width;
    float* said = data<float>(y) + (row * length * heads + head) * size;
    const float* u = line.u;
    int64_t at = 0;
    for (; at + 2 <= size; at += 2, line.u = u + at)
      carry<VECTORS, 2>(line, kept + at * width, silent, slot != 0, said + at, heads * size);
    for (; at < size; ++at, line.u = u + at)
      carry<VECTORS, 1>(line, kept + at * width, silent, slot != 0, said + at, heads * size);
    for (int64_t past = real; past < length; ++past)
      std::memset(said + past * heads * size, 0, size * sizeof(float));
  });
}

void scan(Tensor mixed, Tensor step, Tensor rate, Tensor skip, Tensor state, Tensor slots,
          Tensor lengths, Tensor fresh, Tensor y) {
  switch (state.size(3) / LANES) {
    case 1: return scan_heads<1>(mixed, step, rate, skip, state, slots, lengths, fresh, y);
    case 2: return scan_heads<2>(mixed, step, rate, skip, state, slots, lengths, fresh, y);
    case 4: return scan_heads<4>(mixed, step, rate, skip, state, slots, lengths, fresh, y);
    case 8: return scan_heads<8>(mixed, step, rate, skip, state, slots, lengths, fresh, y);
    case 16: return scan_heads<16>(mixed, step, rate, skip, state, slots, lengths, fresh, y);
  }
}

// ---- attention of one new token to all before it ----------------------------------------------

// Sum each of LANES vectors: lane n of the answer is the total of sums[n].
inline Lanes totals(Lanes* sums) {
#ifdef __clang__
  Lanes all;
  for (int lane = 0; lane < LANES; ++lane) all[lane] = total(sums[lane]);
  return all;
#else
  typedef int32_t Places __attribute__((vector_size(LANES * sizeof(int32_t))));
#pragma GCC unroll 4
  for (int width = 1; width < LANES; width *= 2) {
    Places low{}, high{};
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; ++lane) {
      // Of every 2 * width lanes the first half is the first vector's, the second the second's.
      low[lane] = lane & width ? LANES + lane - width : lane;
      high[lane] = low[lane] + width;
    }
#pragma GCC unroll 8
    for (int at = 0; at < LANES; at += 2 * width)
      sums[at] = __builtin_shuffle(sums[at], sums[at + width], low) +
                 __builtin_shuffle(sums[at], sums[at + width], high);
  }
  return sums[0];
#endif
}

// Up to LANES keys or values of one head in a row, as float32 and whole vectors.
template <typename T>
struct Tile {
  const float* rows[LANES];
  std::vector<float> copies;
  int64_t size, vectors;

  explicit Tile(int64_t size) : size(size), vectors((size + LANES - 1) / LANES) {
    if (!std::is_same_v<T, float> || size % LANES) copies.assign(LANES * vectors * LANES, 0.f);
  }

  template <typename Place>
  void read(const T* all, int64_t first, int64_t count, const Place& place) {
    for (int64_t token = 0; token < count; ++token) {
      const T* from = all + place(first + token);
      if (copies.empty()) {
        rows[token] = reinterpret_cast<const float*>(from);
        continue;
      }
      float* wide = &copies[token * vectors * LANES];
      for (int64_t at = 0; at < size; ++at) wide[at] = widen(from[at]);
      rows[token] = wide;
    }
  }
};

// Add `count` weighted rows to N vectors of `into`.
template <int N>
inline void gather(const float* const* rows, int64_t column, const float* weights, int64_t count,
                   float* into) {
  Lanes sums[N];
  for (int at = 0; at < N; ++at) sums[at] = load(into + column + at * LANES);
  for (int64_t token = 0; token < count; ++token)
    for (int at = 0; at < N; ++at)
      sums[at] += weights[token] * load(rows[token] + column + at * LANES);
  for (int at = 0; at < N; ++at) std::memcpy(into + column + at * LANES, &sums[at], sizeof(Lanes));
}

template <typename T>
void attend_rows(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& tables,
                 const Tensor& positions, int64_t block_tokens, Tensor& out) {
  const int64_t rows = q.size(0), heads = q.size(1), size = q.size(2), kv_heads = k.size(1);
  const int64_t shared = heads / kv_heads, columns = tables.size(1);
  const float scale = 1.f / std::sqrt(float(size));
  each(rows * kv_heads, 1, [&](int64_t job) {
    const int64_t row = job / kv_heads, kv = job % kv_heads;
    const int64_t* table = data<int64_t>(tables) + row * tables.stride(0);
    int64_t span = data<int64_t>(positions)[row] + 1;
    if (span > columns * block_tokens) span = columns * block_tokens;
    const int64_t first = row * heads + kv * shared;
    const auto place = [&](int64_t token) {
      const int64_t block = table[token / block_tokens];
      return ((block * block_tokens + token % block_tokens) * kv_heads + kv) * size;
    };
    Tile<T> tile(size);
    const int64_t vectors = tile.vectors, width = vectors * LANES;
    const int64_t room = (span + LANES - 1) / LANES * LANES;
    std::vector<float> asked(shared * width, 0.f), mixed(shared * width, 0.f);
    std::vector<float> weights(shared * room), sums(shared, 0.f);
    for (int64_t head = 0; head < shared; ++head)
      for (int64_t at = 0; at < size; ++at)
        asked[head * width + at] = widen(data<T>(q)[(first + head) * size + at]) * scale;
    for (int64_t from = 0; from < span; from += LANES) {
      const int64_t count = std::min<int64_t>(LANES, span - from);
      tile.read(data<T>(k), from, count, place);
      for (int64_t head = 0; head < shared; ++head) {
        Lanes scores[LANES] = {};
        for (int64_t token = 0; token < count; ++token)
          for (int64_t at = 0; at < vectors; ++at)
            scores[token] +=
                load(&asked[head * width + at * LANES]) * load(tile.rows[token] + at * LANES);
        const Lanes all = totals(scores);
        std::memcpy(&weights[head * room + from], &all, sizeof all);
      }
    }
    for (int64_t head = 0; head < shared; ++head) {
      float* weight = &weights[head * room];
      float most = weight[0], sum = 0.f;
      for (int64_t token = 1; token < span; ++token) most = std::max(most, weight[token]);
      for (int64_t token = 0; token < span; ++token) weight[token] = std::exp(weight[token] - most);
      for (int64_t token = 0; token < span; ++token) sum += weight[token];
      sums[head] = sum;
    }
    for (int64_t from = 0; from < span; from += LANES) {
      const int64_t count = std::min<int64_t>(LANES, span - from);
      tile.read(data<T>(v), from, count, place);
      for (int64_t head = 0; head < shared; ++head) {
        const float* weight = &weights[head * room + from];
        float* into = &mixed[head * width];
        int64_t at = 0;
        for (; at + 4 <= vectors; at += 4) gather<4>(tile.rows, at * LANES, weight, count, into);
        for (; at < vectors; ++at) gather<1>(tile.rows, at * LANES, weight, count, into);
      }
    }
    for (int64_t head = 0; head < shared; ++head)
      for (int64_t at = 0; at < size; ++at)
        narrow(mixed[head * width + at] / sums[head], data<T>(out)[(first + head) * size + at]);
  });
}

void attend(Tensor q, Tensor k, Tensor v, Tensor tables, Tensor positions, int64_t block_tokens,
            Tensor out) {
  if (q.element_size() == 4)
    attend_rows<float>(q, k, v, tables, positions, block_tokens, out);
  else
    attend_rows<BFloat16>(q, k, v, tables, positions, block_tokens, out);
}

// ---- linear layers whose weights oneDNN has laid out ------------------------------------------

// By number, because a compiled step takes no tensor whose layout is not a matter of strides.
std::map<int64_t, Tensor> packed;
int64_t newest = 0;
std::shared_mutex packed_lock;

int64_t keep(Tensor weight) {
  const std::unique_lock lock(packed_lock);
  packed.emplace(++newest, weight);
  return newest;
}

void drop(int64_t number) {
  const std::unique_lock lock(packed_lock);
  packed.erase(number);
}

Tensor linear(Tensor x, int64_t weight, int64_t) {
  const Tensor held = [&] {
    const std::shared_lock lock(packed_lock);
    const auto found = packed.find(weight);
    if (found == packed.end()) throw std::runtime_error("lictor::linear: no such weight is held");
    return found->second;
  }();
  AtenTensorHandle out;
  TORCH_ERROR_CODE_CHECK(aoti_torch_cpu__linear_pointwise(x.get(), held.get(), nullptr, "none",
                                                          nullptr, 0, nullptr, &out));
  return Tensor(out);
}

}  // namespace

STABLE_TORCH_LIBRARY(lictor, m) {
  m.def("keep(Tensor weight) -> int");
  m.def("drop(int weight) -> ()");
  m.def("linear(Tensor x, int weight, int features) -> Tensor");
  m.def(
      "conv(Tensor x, Tensor taps, Tensor bias, Tensor(a!) state, Tensor slots, Tensor lengths, "
      "Tensor fresh, Tensor(b!) out) -> ()");
  m.def(
      "scan(Tensor mixed, Tensor step, Tensor rate, Tensor skip, Tensor(a!) state, Tensor slots, "
      "Tensor lengths, Tensor fresh, Tensor(b!) y) -> ()");
  m.def(
      "attend(Tensor q, Tensor k, Tensor v, Tensor tables, Tensor positions, int block_tokens, "
      "Tensor(a!) out) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(lictor, CompositeExplicitAutograd, m) {
  m.impl("keep", TORCH_BOX(&keep));
  m.impl("drop", TORCH_BOX(&drop));
}

STABLE_TORCH_LIBRARY_IMPL(lictor, CPU, m) {
  m.impl("linear", TORCH_BOX(&linear));
  m.impl("conv", TORCH_BOX(&conv));
  m.impl("scan", TORCH_BOX(&scan));
  m.impl("attend", TORCH_BOX(&attend));
}
