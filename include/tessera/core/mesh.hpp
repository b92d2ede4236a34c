/// How many ranks each axis has. Tensor neighbours are adjacent ranks, then data, then stages.
#pragma once

#include <tessera/core/setting.hpp>

namespace tessera::inline TESSERA_SETTING {

struct Mesh {
  int data = 1;  // ranks that hold the same layers and see different samples
  // Data ranks that share memory (one MPI-3 window): divides data, neighbours in rank.
  int domain = 1;
  int stages = 1;
  int tensor = 1;

  constexpr int ranks() const { return data * stages * tensor; }
  constexpr int domains() const { return data / domain; }
  /// A rank's place on its data axis; and which axis that is, of as many as stages * tensor.
  constexpr int data_index(int rank) const { return rank / tensor % data; }
  constexpr int data_axis(int rank) const {
    return rank / (tensor * data) * tensor + rank % tensor;
  }
  bool operator==(Mesh const&) const = default;
};

}  // namespace tessera::inline TESSERA_SETTING
