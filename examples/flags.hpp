/// The flags of examples/train.cpp.
#pragma once

#include <tessera/run/world.hpp>

#include <charconv>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

struct Flags {
  std::string data{}, out = "out", resume{};
  double learning_rate = 0;
  std::int64_t steps = 0, warmup = 20, evaluate_every = 100, samples = 128, sample = 400;
  std::uint64_t seed = 1;
  bool trace = true, save = false;

  /// Nothing after --help. A flag that is not understood is refused on every rank.
  static std::optional<Flags> parse(tessera::World const& world, int argc, char** argv,
                                    Flags defaults) {
    Flags f = std::move(defaults);
    for (int i = 1; i < argc; ++i) {
      std::string_view const flag = argv[i];
      auto const value = [&]() -> std::string_view {
        if (i + 1 >= argc) refuse(std::string(flag) + " needs a value");
        return argv[++i];
      };
      if (flag == "--help") {
        if (world.root()) std::fputs(help, stdout);
        return {};
      }
      if (flag == "--data")
        f.data = value();
      else if (flag == "--out")
        f.out = value();
      else if (flag == "--resume")
        f.resume = value();
      else if (flag == "--steps")
        f.steps = number<std::int64_t>(flag, value());
      else if (flag == "--warmup")
        f.warmup = number<std::int64_t>(flag, value());
      else if (flag == "--learning-rate")
        f.learning_rate = number<double>(flag, value());
      else if (flag == "--evaluate-every")
        f.evaluate_every = number<std::int64_t>(flag, value());
      else if (flag == "--evaluate-samples")
        f.samples = number<std::int64_t>(flag, value());
      else if (flag == "--sample")
        f.sample = number<std::int64_t>(flag, value());
      else if (flag == "--seed")
        f.seed = number<std::uint64_t>(flag, value());
      else if (flag == "--save")
        f.save = true;
      else if (flag == "--trace")
        f.trace = true;
      else if (flag == "--no-trace")
        f.trace = false;
      else
        refuse("unknown flag " + std::string(flag));
    }
    if (f.data.empty()) refuse("--data is missing: name a text or token file");
    if (f.steps < 1) refuse("--steps must be at least 1");
    f.warmup = std::min(f.warmup, f.steps - 1);
    return f;
  }

 private:
  static constexpr char const* help =
      "  --data FILE           text, or tokens: .bin holds uint16, .bin32 uint32\n"
      "  --out DIR             where the results go (out)\n"
      "  --steps N             optimizer steps\n"
      "  --learning-rate X     the schedule's largest; it warms up, then falls as a cosine\n"
      "  --warmup N            steps until the largest rate (what suits the model)\n"
      "  --evaluate-every N    steps between validations; 0: only at the end (50)\n"
      "  --evaluate-samples N  samples of those validations; the last one takes all (512)\n"
      "  --sample N            tokens to write at the end; 0: none (400)\n"
      "  --seed N              of weights, data order and writing (1)\n"
      "  --save                leaves a checkpoint in the out folder\n"
      "  --resume FILE         goes on from a checkpoint, to --steps in all\n"
      "  --trace, --no-trace   with or without trace.json (with)\n";

  [[noreturn]] static void refuse(std::string const& why) {
    throw tessera::Error(why + "; --help lists the flags", true);
  }
  template <class T>
  static T number(std::string_view flag, std::string_view text) {
    T n{};
    auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (code != std::errc{} || end != text.data() + text.size())
      refuse(std::string(flag) + " is '" + std::string(text) + "', which is no number it takes");
    return n;
  }
};
