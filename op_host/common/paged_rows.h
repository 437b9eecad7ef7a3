// Rows of tokens in a paged cache: the two forms in which they lie there, and the checks of a cache with its rows.
//
// A row holds the heads of one token. Form Norm is (blocks, block_size, N, D). Form NZ cuts a row into chunks of `last`
// elements and is (blocks, N*D/last, block_size, last), or (blocks, N, D/last, block_size, last).
#pragma once

#include <string>

#include "quantisation.h"

namespace npufa {

enum class CacheForm { kNorm, kNz };

inline constexpr std::int64_t kChunkBytes = 32;

template <class Int>
struct PagedRows {
  CacheForm form = CacheForm::kNorm;
  Int blocks, block_size;
  Int row;    // elements of a row
  Int chunk;  // elements that lie together: the row, or the last extent of NZ
  int element_bytes = 0;
  std::int64_t block_step = 1;  // the cache is every block_step-th of the blocks in memory
};

// A cache in memory that has other blocks between its own, `step` of 2 or more.
template <class Int>
void SetBlockStep(std::int64_t step, PagedRows<Int>* rows) {
  if (step < 2) return;
  rows->block_step = step;
  rows->blocks = (rows->blocks + Int(step - 1)) / Int(step);
}

// Types that are moved as they are.
template <class Int>
void RequireMovable(const char* op, const char* name, const TensorDesc<Int>& t) {
  RequireDType(op, name, t,
               {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kInt8, DType::kUInt8, DType::kInt16,
                DType::kUInt16, DType::kInt32, DType::kUInt32, DType::kFloat8E4M3, DType::kFloat8E5M2});
}

template <class Int>
bool HasNormShape(const TensorDesc<Int>& cache, const TensorDesc<Int>& rows) {
  return cache.Dim() == 4 && !KnownNe(cache.Size(2), rows.Size(1)) && !KnownNe(cache.Size(3), rows.Size(2));
}

template <class Int>
bool HasNzShape(const TensorDesc<Int>& cache, const TensorDesc<Int>& rows) {
  if (cache.Dim() != 4 && cache.Dim() != 5) return false;
  const Int chunks = cache.Dim() == 4 ? cache.Size(1) : Int(cache.Size(1) * cache.Size(2));
  const Int last = cache.Size(-1), bytes = last * Int(SizeOf(cache.dtype));
  const bool whole = KnownEq(bytes, Int(kChunkBytes)) || (KnownEq(last, Int(16)) && SizeOf(cache.dtype) == 4);
  return whole && !KnownNe(Int(chunks * last), Int(rows.Size(1) * rows.Size(2)));
}

// `mode`: "Norm", "PA_NZ", or nothing: as the shape tells, Norm first. `rows` is (T, N, D).
template <class Int>
CacheForm FormOf(const char* op, const std::string& mode, const char* name, const TensorDesc<Int>& cache,
                 const TensorDesc<Int>& rows) {
  const Int width = rows.Size(1) * rows.Size(2);
  const std::string last = SizeOf(cache.dtype) == 4 ? "8 or 16" : std::to_string(kChunkBytes / SizeOf(cache.dtype));
  const std::string norm = "(blocks, block_size, " + Show(rows.Size(1)) + ", " + Show(rows.Size(2)) + ")";
  const std::string nz = "(blocks, " + Show(width) + " / last, block_size, last) with last " + last;
  if (mode != "" && mode != "Norm" && mode != "PA_NZ") {
    Fail(op, "cache_mode", "is unknown", mode, "\"Norm\", \"PA_NZ\" or None");
  }
  if (mode != "PA_NZ" && HasNormShape(cache, rows)) return CacheForm::kNorm;
  if (mode != "Norm" && HasNzShape(cache, rows)) return CacheForm::kNz;
  if (mode == "") Fail(op, name, "has the wrong shape", cache.sizes, norm + " or " + nz);
  const bool other = mode == "Norm" ? HasNzShape(cache, rows) : HasNormShape(cache, rows);
  const char* hint = !other           ? ""
                     : mode == "Norm" ? "; it looks like cache_mode=\"PA_NZ\""
                                      : "; it looks like cache_mode=\"Norm\"";
  Fail(op, name, "has the wrong shape", cache.sizes, (mode == "Norm" ? norm : nz) + " for cache_mode " + mode + hint);
}

template <class Int>
PagedRows<Int> DescribePagedRows(const char* op, const std::string& mode, const char* rows_name,
                                 const TensorDesc<Int>& rows, const char* cache_name, const TensorDesc<Int>& cache) {
  RequireMovable(op, rows_name, rows);
  if (rows.Dim() != 3) {
    Fail(op, rows_name, "has the wrong number of dimensions", rows.sizes, "3: (tokens, heads, head size)");
  }
  if (cache.dtype != rows.dtype) {
    Fail(op, cache_name, std::string("differs from ") + rows_name + " in dtype", NameOf(cache.dtype),
         NameOf(rows.dtype));
  }
  PagedRows<Int> paged;
  paged.form = FormOf(op, mode, cache_name, cache, rows);
  const bool nz = paged.form == CacheForm::kNz;
  paged.blocks = cache.Size(0);
  paged.block_size = nz ? cache.Size(-2) : cache.Size(1);
  paged.row = rows.Size(1) * rows.Size(2);
  paged.chunk = nz ? cache.Size(-1) : paged.row;
  paged.element_bytes = SizeOf(rows.dtype);
  return paged;
}

// Caches of keys and of values have blocks in common.
template <class Int>
void RequireSameBlocks(const char* op, const char* name, const TensorDesc<Int>& cache, const PagedRows<Int>& rows,
                       const char* other_name, const PagedRows<Int>& other) {
  if (KnownEq(rows.blocks, other.blocks) && KnownEq(rows.block_size, other.block_size)) return;
  if (!KnownNe(rows.blocks, other.blocks) && !KnownNe(rows.block_size, other.block_size)) return;
  Fail(op, name, std::string("differs from ") + other_name + " in its blocks", cache.sizes,
       Show(other.blocks) + " blocks of " + Show(other.block_size) + " tokens");
}

}  // namespace npufa
