// Causal attention of new tokens over a paged cache, in bfloat16 on CPUs with matrix tiles (AMX).
//
// The cache is vLLM 0.32's for such CPUs. Of a head's block of tokens it holds the keys and then
// the values, each in the order in which a tile is loaded: keys in groups of 16 tokens, of each
// group two numbers of every token in turn; values in groups of 16 columns, of each group two
// tokens of every column in turn.
//
// Queries of a head, and of heads that have the same keys, share KEYS keys at a time, whose scores
// never leave the first level of the caches; meanwhile the next keys and values are fetched from
// memory, which is what few queries over a long past wait for. The softmax is the online one of
// FlashAttention, whose maximum moves only when a score would leave it far behind
// (https://arxiv.org/abs/2205.14135).

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>

namespace {

using bf16 = uint16_t;

constexpr int TILE = 16;          // rows of a tile, and its columns of 4 bytes
constexpr int LINE = 64;          // bytes of a tile's row, and of a line of the cache
constexpr int STEP = 32;          // numbers that one product of tiles sums over
constexpr int ROWS = 2 * TILE;    // queries whose scores are computed together
constexpr int BATCH = 4 * ROWS;   // queries that share keys while these are near
constexpr int KEYS = 128;         // a multiple of the tokens of a block
constexpr int WIDEST = 256;       // columns of a head
constexpr float HIDDEN = -1e30f;  // a score of nothing
constexpr float BEHIND = 8;       // how far, in powers of two, the maximum may lag
constexpr float LOG2_E = 1.44269504f;
constexpr int FETCHED = 32;       // scores that are computed while a key and its value come
constexpr int WORTHWHILE = 400'000;  // scores that the others are spared by a thread more
constexpr auto REST = std::chrono::milliseconds(100);  // without that thread
using Clock = std::chrono::steady_clock;

// What one head can see of one sequence.
struct Past {
  const bf16 *keys, *values;
  const int32_t *blocks;
  int64_t stride;  // numbers from block to block
  int block, width;

  const bf16 *keys_of(int token) const {
    return keys + blocks[token / block] * stride + token % block * width;
  }
  const bf16 *values_of(int token, int column) const {
    return values + blocks[token / block] * stride + token % block * TILE + column * block;
  }
  int lines() const { return 2 * block * width * sizeof(bf16) / LINE; }  // of a block
};

// What asks about a past: `count` rows, from `first` on, of new tokens by heads that share its keys.
struct Queries {
  const bf16 *rows;
  bf16 *mixed;
  int64_t token, head, mixed_token, mixed_head;  // strides
  int group, first, count, past;  // heads; rows; tokens before the new ones

  const bf16 *row(int i) const {
    return rows + (first + i) / group * token + (first + i) % group * head;
  }
  bf16 *mixed_row(int i) const {
    return mixed + (first + i) / group * mixed_token + (first + i) % group * mixed_head;
  }
  int sees(int i) const { return past + (first + i) / group + 1; }  // tokens, its own among them
};

struct alignas(LINE) Work {
  float scores[ROWS * KEYS];  // later the weights, in the first half of each row
  bf16 queries[BATCH * WIDEST];
  float mixed[BATCH * WIDEST];
  float sums[BATCH * TILE];
  float top[BATCH];
};

// Tiles 0, 1: rows of A. 2, 3: columns of B. 4 to 7: their four products.
void configure_tiles(int rows) {
  struct alignas(LINE) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  } tiles;
  std::fill_n(tiles.row_bytes, 8, LINE);
  std::fill_n(tiles.rows, 8, TILE);
  tiles.rows[0] = tiles.rows[4] = tiles.rows[5] = std::min(rows, TILE);
  tiles.rows[1] = tiles.rows[6] = tiles.rows[7] = std::max(rows - TILE, 1);
  _tile_loadconfig(&tiles);
}

// Adds to tiles 4 to 7 the products of `STEP` numbers of the rows at `a` with 2 x 16 columns.
inline void multiply(const bf16 *a, int a_width, const bf16 *b, const bf16 *more_b, bool two) {
  _tile_loadd(0, a, a_width * sizeof(bf16));
  _tile_loadd(2, b, LINE);
  _tile_dpbf16ps(4, 0, 2);
  _tile_loadd(3, more_b, LINE);
  _tile_dpbf16ps(5, 0, 3);
  if (two) {
    _tile_loadd(1, a + TILE * a_width, a_width * sizeof(bf16));
    _tile_dpbf16ps(6, 1, 2);
    _tile_dpbf16ps(7, 1, 3);
  }
}

inline void store_products(float *to, int width, bool two) {
  _tile_stored(4, to, width * sizeof(float));
  _tile_stored(5, to + TILE, width * sizeof(float));
  if (two) {
    _tile_stored(6, to + TILE * width, width * sizeof(float));
    _tile_stored(7, to + TILE * width + TILE, width * sizeof(float));
  }
}

inline void load_products(const float *from, int width, bool two) {
  _tile_loadd(4, from, width * sizeof(float));
  _tile_loadd(5, from + TILE, width * sizeof(float));
  if (two) {
    _tile_loadd(6, from + TILE * width, width * sizeof(float));
    _tile_loadd(7, from + TILE * width + TILE, width * sizeof(float));
  }
}

// Brings blocks nearer, some lines with every step of what is computed meanwhile. Of a head's
// block, keys and values are neighbours.
struct Fetch {
  const Past &past;
  const int32_t *block, *end;
  int lines;  // a step
  int line = 0;

  void step() {
    for (int i = 0; i < lines && block != end; ++i) {
      const bf16 *from = past.keys + *block * past.stride;
      _mm_prefetch(from + line * LINE / sizeof(bf16), _MM_HINT_T1);
      if (++line == past.lines()) {
        line = 0;
        ++block;
      }
    }
  }
};

void score(const bf16 *queries, const Past &past, int first, int count, bool two, Fetch &next,
           float *scores) {
  for (int at = 0; at < count; at += STEP) {
    next.step();
    const bf16 *keys = past.keys_of(first + at);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int i = 0; i < past.width; i += STEP)
      multiply(queries + i, past.width, keys + i * TILE, keys + (i + past.width) * TILE, two);
    store_products(scores + at, KEYS, two);
  }
}

void mix(const bf16 *weights, const Past &past, int first, int count, bool two, Fetch &next,
         float *mixed) {
  for (int column = 0; column < past.width; column += 2 * TILE) {
    load_products(mixed + column, past.width, two);
    for (int at = 0; at < count; at += STEP) {
      next.step();
      multiply(weights + at, 2 * KEYS, past.values_of(first + at, column),
               past.values_of(first + at, column + TILE), two);
    }
    store_products(mixed + column, past.width, two);
  }
}

// 2^x to 8e-5 of it, far less than bfloat16 rounds: the minimax polynomial of the fraction, scaled.
inline __m512 exp2(__m512 x) {
  const __m512 fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512 power = _mm512_set1_ps(0.0780245f);
  for (const float term : {0.2260672f, 0.6958335f, 0.9999252f})
    power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(term));
  return _mm512_scalef_ps(power, x);  // by 2^floor(x)
}

inline void multiply_all(float *numbers, int count, __m512 by) {
  for (int i = 0; i < count; i += TILE)
    _mm512_store_ps(numbers + i, _mm512_mul_ps(_mm512_load_ps(numbers + i), by));
}

// Turns a row of scores, times log2(e), into weights below 2^BEHIND. Adds them to 16 partial sums.
inline void weigh(float *scores, int count, float scale, int row, int width, Work &work) {
  __m512 high = _mm512_load_ps(scores);
  for (int i = TILE; i < count; i += TILE) high = _mm512_max_ps(high, _mm512_load_ps(scores + i));
  float &top = work.top[row], *sums = work.sums + row * TILE;
  const __m512 factor = _mm512_set1_ps(scale), bound = _mm512_set1_ps(top + BEHIND);
  if (_mm512_cmp_ps_mask(_mm512_mul_ps(high, factor), bound, _CMP_GT_OQ)) {
    const float now = scale * _mm512_reduce_max_ps(high);
    const __m512 less = exp2(_mm512_set1_ps(top - now));
    multiply_all(sums, TILE, less);
    multiply_all(work.mixed + row * width, width, less);
    top = now;
  }
  const __m512 maximum = _mm512_set1_ps(top);
  __m512 even = _mm512_load_ps(sums), odd = _mm512_setzero_ps();
  bf16 *weights = reinterpret_cast<bf16 *>(scores);
  for (int i = 0; i < count; i += 2 * TILE) {
    const __m512 a = exp2(_mm512_fmsub_ps(_mm512_load_ps(scores + i), factor, maximum));
    const __m512 b = exp2(_mm512_fmsub_ps(_mm512_load_ps(scores + i + TILE), factor, maximum));
    even = _mm512_add_ps(even, a);
    odd = _mm512_add_ps(odd, b);
    _mm512_store_si512(weights + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
  }
  _mm512_store_ps(sums, _mm512_add_ps(even, odd));
}

void begin(const Queries &queries, int width, Work &work) {
  for (int i = 0; i < queries.count; ++i)
    std::memcpy(work.queries + i * width, queries.row(i), width * sizeof(bf16));
  std::fill_n(work.mixed, queries.count * width, 0);
  std::fill_n(work.sums, queries.count * TILE, 0);
  std::fill_n(work.top, queries.count, HIDDEN);
}

void finish(const Queries &queries, int width, const Work &work) {
  for (int i = 0; i < queries.count; ++i) {
    const float *mixed = work.mixed + i * width;
    const float sum = _mm512_reduce_add_ps(_mm512_load_ps(work.sums + i * TILE));
    const __m512 share = _mm512_set1_ps(1 / sum);
    for (int j = 0; j < width; j += 2 * TILE) {
      const __m512 a = _mm512_mul_ps(_mm512_load_ps(mixed + j), share);
      const __m512 b = _mm512_mul_ps(_mm512_load_ps(mixed + j + TILE), share);
      _mm512_storeu_si512(queries.mixed_row(i) + j,
                          reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
    }
  }
}

void attend(const Queries &queries, const Past &past, float scale, Work &work) {
  const int width = past.width, end = queries.sees(queries.count - 1);
  const auto block_at = [&](int token) {
    return past.blocks + (std::min(token, end) + past.block - 1) / past.block;
  };
  const int tiles = (queries.count + ROWS - 1) / ROWS * (KEYS / STEP) * (1 + width / (2 * TILE));
  const int lines = KEYS / past.block * past.lines() / (tiles + queries.count) + 1;
  int configured = 0;
  begin(queries, width, work);
  for (int first = 0; first < end; first += KEYS) {
    const int count = std::min(KEYS, (end - first + STEP - 1) / STEP * STEP);
    Fetch next{past, block_at(first + KEYS), block_at(first + 2 * KEYS), lines};
    for (int start = 0; start < queries.count; start += ROWS) {
      const int rows = std::min(ROWS, queries.count - start);
      const bool two = rows > TILE;
      if (rows != configured) configure_tiles(configured = rows);
      score(work.queries + start * width, past, first, count, two, next, work.scores);
      for (int i = 0; i < rows; ++i) {
        next.step();
        float *scores = work.scores + i * KEYS;
        const int seen = std::clamp(queries.sees(start + i) - first, 0, count);
        std::fill(scores + seen, scores + count, HIDDEN);
        weigh(scores, count, scale, start + i, width, work);
      }
      mix(reinterpret_cast<bf16 *>(work.scores), past, first, count, two, next,
          work.mixed + start * width);
    }
  }
  finish(queries, width, work);
}

}  // namespace

// The fields of `_Call` in vllm_tiled_attention.py. Strides are in numbers.
struct Call {
  const bf16 *queries;  // (tokens, heads, width)
  int64_t query_token, query_head;
  bf16 *mixed;  // (tokens, heads, width)
  int64_t mixed_token, mixed_head;
  const bf16 *keys, *values;  // (blocks, key heads, block, width), each block in tiles' order
  int64_t cache_block, cache_head;
  const int32_t *starts;  // (sequences + 1): of each one's new tokens
  const int32_t *lengths;  // (sequences): of all of its tokens
  const int32_t *blocks;  // (sequences, at most so many blocks)
  int64_t blocks_row;
  int32_t sequences, heads, key_heads, width, block, spare_core;
  float scale;
};

namespace {

// A call's work in pieces: at most so many rows of one sequence, by the heads that share its keys.
struct Pieces {
  const Call &call;
  int rows;

  int group() const { return call.heads / call.key_heads; }
  int rows_of(int sequence) const {
    return group() * (call.starts[sequence + 1] - call.starts[sequence]);
  }
  int batches(int sequence) const { return (rows_of(sequence) + rows - 1) / rows; }
  int batches() const {
    int sum = 0;
    for (int i = 0; i < call.sequences; ++i) sum += batches(i);
    return sum;
  }
  int64_t scores() const {  // computed, or in the time of fetching
    int64_t sum = 0;
    for (int i = 0; i < call.sequences; ++i)
      sum += int64_t(call.lengths[i]) * (rows_of(i) + FETCHED * batches(i));
    return call.key_heads * sum;
  }
};

// Takes pieces until none is left.
void take_part(const Pieces &pieces, std::atomic<int> &taken) {
  const Call &c = pieces.call;
  const int rows = pieces.rows, group = pieces.group(), batches = pieces.batches();
  Work work;
  for (int at; (at = taken++) < c.key_heads * batches;) {
    const int key_head = at / batches, head = key_head * group;
    int sequence = 0, batch = at % batches;
    while (batch >= pieces.batches(sequence)) batch -= pieces.batches(sequence++);
    const int start = c.starts[sequence], first = batch * rows, all = pieces.rows_of(sequence);
    const int64_t cache = key_head * c.cache_head;
    attend({c.queries + start * c.query_token + head * c.query_head,
            c.mixed + start * c.mixed_token + head * c.mixed_head, c.query_token, c.query_head,
            c.mixed_token, c.mixed_head, group, first, std::min(rows, all - first),
            c.lengths[sequence] - all / group},
           {c.keys + cache, c.values + cache, c.blocks + sequence * c.blocks_row, c.cache_block,
            c.block, c.width},
           c.scale * LOG2_E, work);
  }
  _tile_release();
}

}  // namespace

extern "C" void attention(const Call *call) {
  static Clock::time_point rested;
  const int threads = omp_get_max_threads();
  Pieces pieces{*call, BATCH};
  // Smaller ones read more memory, and keep more cores busy.
  if (call->key_heads * pieces.batches() < threads) pieces.rows = ROWS;
  const int64_t scores = pieces.scores();
  const bool worthwhile = scores / threads - scores / (threads + 1) > WORTHWHILE;
  std::atomic<int> taken = 0;
  const auto began = Clock::now();
  std::thread helper;
  if (call->spare_core && worthwhile && began > rested) try {
      helper = std::thread([&] { take_part(pieces, taken); });
    } catch (const std::system_error &) {  // The system has no threads left.
    }
#pragma omp parallel
  take_part(pieces, taken);
  if (!helper.joinable()) return;
  const auto done = Clock::now();
  helper.join();
  // Who keeps the others waiting shares its core with somebody else.
  if (Clock::now() - done > (done - began) / 2) rested = done + REST;
}
