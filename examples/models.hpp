/// The models that examples/train.sh knows by name, each with its micro-batch, optimizer and
/// learning rate.
#pragma once

#include <tessera/tessera.hpp>

namespace models {

/// A Llama of 1.9M parameters over bytes; a rank's micro-batch is 4 x 128.
struct tiny {
  using Model = tessera::Llama<4, 192, 3, 3, 512, 256>;
  using Batch = tessera::Batch<4, 128>;
  using Optimizer = tessera::Muon;
  static constexpr double learning_rate = 6e-3;
  static constexpr int steps = 750, warmup = 50;
};

/// 10.8M parameters over bytes, with a longer view.
struct small {
  using Model = tessera::Gpt2<6, 384, 6, 256, 256>;
  using Batch = tessera::Batch<8, 256>;
  using Optimizer = tessera::AdamW;
  static constexpr double learning_rate = 1e-3;
  static constexpr int steps = 2000, warmup = 100;
};

/// GPT-2 124M, for token files (.bin) of its tokenizer; the vocabulary is padded to 50,304.
struct gpt2 {
  using Model = tessera::Gpt2<12, 768, 12, 50304, 1024>;
  using Batch = tessera::Batch<1, 1024>;
  using Optimizer = tessera::AdamW;
  static constexpr double learning_rate = 6e-4;
  static constexpr int steps = 20000, warmup = 700;
};

}  // namespace models
