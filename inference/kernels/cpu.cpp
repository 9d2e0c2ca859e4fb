// One pass each over a decode step's or a prompt's recurrent state, and over keys and values
// where they lie. Loaded by cpu.py, which says what every tensor is. All sums are in float32, and
// in an order that depends on nothing but the row itself: the company a row has changes no bit.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
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
    std::vector<float> asked(shared * size), mixed(shared * size), weights(shared * span);
    for (int64_t at = 0; at < shared * size; ++at)
      asked[at] = widen(data<T>(q)[first * size + at]) * scale;
    std::vector<float> wide(size), most(shared, -std::numeric_limits<float>::infinity());
    const auto place = [&](int64_t token) {
      const int64_t block = table[token / block_tokens];
      return ((block * block_tokens + token % block_tokens) * kv_heads + kv) * size;
    };
    for (int64_t token = 0; token < span; ++token) {
      const T* key = data<T>(k) + place(token);
      for (int64_t at = 0; at < size; ++at) wide[at] = widen(key[at]);
      for (int64_t head = 0; head < shared; ++head) {
        const float* query = &asked[head * size];
        Lanes sum{};
        int64_t at = 0;
        for (; at + LANES <= size; at += LANES) sum += load(query + at) * load(&wide[at]);
        float score = total(sum);
        for (; at < size; ++at) score += query[at] * wide[at];
        weights[head * span + token] = score;
        if (!(score <= most[head])) most[head] = score;
      }
    }
    std::vector<float> sums(shared, 0.f);
    for (int64_t token = 0; token < span; ++token) {
      const T* value = data<T>(v) + place(token);
      for (int64_t at = 0; at < size; ++at) wide[at] = widen(value[at]);
      for (int64_t head = 0; head < shared; ++head) {
        const float weight = std::exp(weights[head * span + token] - most[head]);
        float* into = &mixed[head * size];
        sums[head] += weight;
        for (int64_t at = 0; at < size; ++at) into[at] += weight * wide[at];
      }
    }
    for (int64_t head = 0; head < shared; ++head)
      for (int64_t at = 0; at < size; ++at)
        narrow(mixed[head * size + at] / sums[head], data<T>(out)[(first + head) * size + at]);
  });
}

void attend(Tensor q, Tensor k, Tensor v, Tensor tables, Tensor positions, int64_t block_tokens,
            Tensor out) {
  if (q.element_size() == 4)
    attend_rows<float>(q, k, v, tables, positions, block_tokens, out);
  else
    attend_rows<BFloat16>(q, k, v, tables, positions, block_tokens, out);
}

}  // namespace

STABLE_TORCH_LIBRARY(lictor, m) {
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

STABLE_TORCH_LIBRARY_IMPL(lictor, CPU, m) {
  m.impl("conv", TORCH_BOX(&conv));
  m.impl("scan", TORCH_BOX(&scan));
  m.impl("attend", TORCH_BOX(&attend));
}
