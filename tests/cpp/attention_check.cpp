// Attention of the CPU backend without torch, for tests/cpu/test_capabilities.py and test_sanitizers.py: every tensor
// is a heap block of exactly its size, results are compared with float64. Arguments: "short" leaves the last key row
// out; "amx" takes that table, its instructions emulated where the CPU has none.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "attention_spec.h"
#include "cpu/primitives/capability.h"
#if defined(__x86_64__)
#include "amx_emulator.h"
#endif
#include "cpu/attention/problem.h"

namespace {

using namespace npufa;
using namespace npufa::cpu;
using Floats = std::vector<float>;

std::mt19937 generator(1);

// Values as they are stored, and what they stand for.
struct Tensor {
  std::unique_ptr<char[]> bytes;
  Floats values;
  DType dtype;

  Tensor(std::int64_t count, DType type, float spread = 1.0f, std::int64_t missing = 0)
      : bytes(new char[(count - missing) * SizeOf(type)]), values(count), dtype(type) {
    std::normal_distribution<float> normal(0.0f, spread);
    for (float& v : values) {
      v = type == DType::kInt8 ? std::nearbyint(std::fmod(40 * normal(generator), 127.0f)) : normal(generator);
    }
    values.resize(count - missing);
    if (type == DType::kInt8) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        bytes[i] = static_cast<char>(static_cast<std::int8_t>(values[i]));  // char has no sign on aarch64
      }
    } else {
      BestPrimitives().from_f32(count - missing, values.data(), 1.0f, type, bytes.get());
      BestPrimitives().to_f32(count - missing, bytes.get(), type, values.data());
    }
    values.resize(count);
  }
  Floats Read(std::int64_t count) const {
    Floats result(count);
    BestPrimitives().to_f32(count, bytes.get(), dtype, result.data());
    return result;
  }
};

const Executor kThreads = {2, [](int workers, const std::function<void(int)>& body) {
                             std::vector<std::thread> threads;
                             for (int i = 1; i < workers; ++i) threads.emplace_back(body, i);
                             body(0);
                             for (std::thread& t : threads) t.join();
                           }};

struct Shape {
  std::int64_t heads, kv_heads, q_len, kv_len, dim;
  bool causal;
};
constexpr std::int64_t kBatch = 2;

void Check(const char* what, const Shape& s, const Floats& got, const std::vector<double>& want, double tolerance) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  if (std::sqrt(error / (size + 1e-12)) <= tolerance) return;
  std::printf("%s N%ld/%ld S%ld/%ld D%ld: error %g\n", what, s.heads, s.kv_heads, s.q_len, s.kv_len, s.dim,
              std::sqrt(error / (size + 1e-12)));
  std::exit(1);
}

Strided Rows(const Tensor& t, std::int64_t heads, std::int64_t length, std::int64_t dim) {
  const std::int64_t row = dim * SizeOf(t.dtype);
  return {t.bytes.get(), heads * length * row, length * row, row};
}

Problem Describe(const Shape& s, DType dtype, DType kv_dtype) {
  Problem p;
  p.dtype = p.out_dtype = dtype;
  p.kv_dtype = kv_dtype;
  p.heads = s.heads;
  p.kv_heads = s.kv_heads;
  p.head_dim = p.value_dim = s.dim;
  p.scale = 1.0f / std::sqrt(static_cast<float>(s.dim));
  for (std::int64_t b = 0; b < kBatch; ++b) {
    Sequence q;
    q.batch = b;
    q.q_len = s.q_len;
    q.kv_len = s.kv_len;
    if (s.causal) q.band.end_shift = s.kv_len - s.q_len;
    q.statistics_first = b * s.heads * s.q_len;
    q.statistics_head = s.q_len;
    q.statistics_row = 1;
    p.sequences.push_back(q);
  }
  return p;
}

// Probabilities of a row in float64.
std::vector<double> Softmax(const Problem& p, const Shape& s, const float* query, const Floats& key, std::int64_t base,
                            std::int64_t row) {
  const Window w = p.sequences[0].band.Row(row, s.kv_len);
  std::vector<double> weights(s.kv_len, 0.0);
  double sum = 0;
  for (std::int64_t j = w.begin; j < w.end; ++j) {
    double score = 0;
    for (std::int64_t x = 0; x < s.dim; ++x) score += static_cast<double>(query[x]) * key[(base + j) * s.dim + x];
    sum += weights[j] = std::exp(score * p.scale);
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

void Run(const Shape& s, DType dtype, DType kv_dtype, bool paged, std::int64_t missing) {
  const std::int64_t q_count = kBatch * s.heads * s.q_len * s.dim, kv_count = kBatch * s.kv_heads * s.kv_len * s.dim;
  const Tensor query(q_count, dtype), key(kv_count, kv_dtype, 1.0f, missing), value(kv_count, kv_dtype);
  const Tensor gradient(q_count, dtype);
  Tensor out(q_count, dtype), grad_query(q_count, dtype), grad_key(kv_count, dtype), grad_value(kv_count, dtype);
  Floats max(kBatch * s.heads * s.q_len * kStatisticsWidth), sum(max.size());
  Problem p = Describe(s, dtype, kv_dtype);
  p.query = Rows(query, s.heads, s.q_len, s.dim);
  p.key.rows = Rows(key, s.kv_heads, s.kv_len, s.dim);
  p.value.rows = Rows(value, s.kv_heads, s.kv_len, s.dim);
  std::vector<std::int32_t> table(kBatch * s.kv_len);
  if (paged) {
    // One token a block: block (b, t) starts where token t of sequence b lies.
    const std::int64_t row = s.dim * SizeOf(kv_dtype);
    for (std::int64_t b = 0; b < kBatch; ++b) {
      for (std::int64_t t = 0; t < s.kv_len; ++t) {
        table[b * s.kv_len + t] = static_cast<std::int32_t>(b * s.kv_heads * s.kv_len + t);
      }
    }
    for (RowSource* source : {&p.key, &p.value}) {
      source->rows.batch = source->rows.token = row;
      source->block_table = table.data();
      source->table_stride = s.kv_len;
      source->block_size = 1;
    }
  }
  Floats scale(s.kv_heads * s.dim, 0.02f);
  if (kv_dtype == DType::kInt8) {
    for (Antiquant* q : {&p.key_antiquant, &p.value_antiquant}) {
      q->scale = scale.data();
      q->head = s.dim;
      q->channel = 1;
    }
  }
  ForwardOutputs outputs;
  outputs.out = Rows(out, s.heads, s.q_len, s.dim);
  outputs.softmax_max = max.data();
  outputs.softmax_sum = sum.data();
  Forward(p, outputs, kThreads);

  const bool differentiable = kv_dtype == dtype && !paged;
  if (differentiable) {
    const Strided rows = Rows(out, s.heads, s.q_len, s.dim);
    const BackwardInputs in{rows, Rows(gradient, s.heads, s.q_len, s.dim), max.data(), sum.data()};
    BackwardOutputs grads;
    grads.grad_query = Rows(grad_query, s.heads, s.q_len, s.dim);
    grads.grad_key = Rows(grad_key, s.kv_heads, s.kv_len, s.dim);
    grads.grad_value = Rows(grad_value, s.kv_heads, s.kv_len, s.dim);
    Backward(p, in, grads, kThreads);
  }

  Floats keys = key.values, values = value.values;
  if (kv_dtype == DType::kInt8) {
    for (Floats* stored : {&keys, &values}) {
      for (float& v : *stored) v *= 0.02f;
    }
  }
  std::vector<double> want(q_count), dq(q_count), dk(kv_count), dv(kv_count);
  for (std::int64_t r = 0; r < kBatch * s.heads * s.q_len; ++r) {
    const std::int64_t head = r / s.q_len % s.heads, batch = r / s.q_len / s.heads;
    const std::int64_t base = (batch * s.kv_heads + head / p.Group()) * s.kv_len;
    const std::vector<double> weights = Softmax(p, s, query.values.data() + r * s.dim, keys, base, r % s.q_len);
    std::vector<double> dp(s.kv_len);
    double delta = 0;
    for (std::int64_t j = 0; j < s.kv_len; ++j) {
      for (std::int64_t x = 0; x < s.dim; ++x) {
        want[r * s.dim + x] += weights[j] * values[(base + j) * s.dim + x];
        dv[(base + j) * s.dim + x] += weights[j] * gradient.values[r * s.dim + x];
        dp[j] += static_cast<double>(gradient.values[r * s.dim + x]) * values[(base + j) * s.dim + x];
      }
      delta += weights[j] * dp[j];
    }
    for (std::int64_t j = 0; j < s.kv_len; ++j) {
      const double ds = weights[j] * (dp[j] - delta) * p.scale;
      for (std::int64_t x = 0; x < s.dim; ++x) {
        dq[r * s.dim + x] += ds * keys[(base + j) * s.dim + x];
        dk[(base + j) * s.dim + x] += ds * query.values[r * s.dim + x];
      }
    }
  }
  const double tolerance = dtype == DType::kFloat32 ? 1e-5 : dtype == DType::kFloat16 ? 2e-3 : 1e-2;
  Check("output", s, out.Read(q_count), want, tolerance);
  // A single key has the probability 1 whatever its score: only rounding is left of dq and dk.
  if (!differentiable) return;
  Check("grad_value", s, grad_value.Read(kv_count), dv, 2 * tolerance);
  if (s.kv_len == 1) return;
  Check("grad_query", s, grad_query.Read(q_count), dq, 4 * tolerance);
  Check("grad_key", s, grad_key.Read(kv_count), dk, 4 * tolerance);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string argument = argc > 1 ? argv[1] : "";
  const bool too_short = argument == "short";
#if defined(__x86_64__)
  if (argument == "amx") {
    if (!npufa::test::OfferAmx()) {
      std::puts("amx: needs AVX512-BF16 to be emulated");
      return 0;
    }
    setenv("NPUFA_CPU_CAPABILITY", "amx", 1);
  }
#endif
  const Shape shapes[] = {{1, 1, 1, 1, 1, false},     {4, 2, 1, 300, 33, false},  {3, 3, 1, 513, 64, false},
                          {12, 1, 1, 600, 40, false}, {20, 1, 1, 70, 128, false}, {4, 2, 3, 77, 129, true},
                          {2, 1, 17, 17, 65, true},   {2, 2, 50, 257, 31, false}, {1, 1, 130, 300, 80, true}};
  for (const Shape& s : shapes) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
      for (const bool paged : {false, true}) {
        Run(s, dtype, dtype, paged, too_short ? s.dim : 0);
        Run(s, dtype, DType::kInt8, paged, 0);
      }
    }
  }
  std::printf("%s: clean\n", BestPrimitives().name);
  return 0;
}
