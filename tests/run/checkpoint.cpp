// ranks: 1 2 4
// timeout: 120
#include <tessera/run/checkpoint.hpp>

#include "run/small.hpp"

#include <sched.h>
#include <sys/mount.h>

namespace {

using namespace tessera;
using namespace tessera::test;

template <class Optimizer, class... Policies>
using With = Trainer<Small, Optimizer, ClipNorm, Batch<1, 8>, Policies...>;
template <class... Policies>
using Training = With<AdamW, Policies...>;
using Whole = Training<Zero<0>>;
using Sharded = Training<Zero<3>>;

Options const options{.learning_rate = 3e-3,
                      .schedule = warmup_cosine(4, 20, 0.1),
                      .weight_decay = 0.1,
                      .groups = {{.pattern = "*.token", .rate = 0.5}}};

template <class A, class B>
void require_equal(A& a, B& b) {
  for (std::string const& path : a.paths()) {
    INFO(path);
    REQUIRE(same_bits(a.parameter(path), b.parameter(path)));
    for (std::string_view const state : a.engine().states_of(path))
      REQUIRE(same_bits(a.state(state, path), b.state(state, path)));
  }
}

/// Five steps, saved, and five more, against ten in one go.
template <class Before, class After>
void goes_on_bitwise() {
  Folder const folder;
  std::string const path = folder / "made/on demand/model.checkpoint";
  Counting const text;
  Before whole(world(), options), first(world(), options);
  for (int i = 0; i < 5; ++i) whole.step(text), first.step(text);
  first.save(path);
  CHECK_FALSE(std::filesystem::exists(path + ".unfinished"));
  Options other = options;
  other.seed = 99;  // nothing of the first values may be left
  After second(world(), other);
  second.options().seed = options.seed;  // the order of the data
  second.load(path);
  CHECK(second.steps() == 5);
  require_equal(first, second);
  for (int i = 0; i < 5; ++i) {
    Report const a = whole.step(text), b = second.step(text);
    REQUIRE(a.step == b.step);
    REQUIRE(a.loss == b.loss);
    REQUIRE(a.gradient_norm == b.gradient_norm);
    REQUIRE(a.learning_rate == b.learning_rate);
  }
  require_equal(whole, second);
}

TEST_CASE("a run that was sharded goes on whole, bit for bit") {
  goes_on_bitwise<Sharded, Whole>();
}
TEST_CASE("a run that was whole goes on sharded, bit for bit") {
  goes_on_bitwise<Whole, Sharded>();
}

TEST_CASE("so does one whose optimizer works across tensors") {
  goes_on_bitwise<With<Lamb, Zero<3>>, With<Lamb, Zero<1>>>();
  goes_on_bitwise<With<Lamb, Zero<0>>, With<Lamb, Zero<2>>>();
  goes_on_bitwise<With<Muon, Zero<3>>, With<Muon, Zero<0>>>();
}

/// A file, and what it says of itself after `change`.
std::string refused(Sharded& trainer, std::string const& path, std::string bytes) {
  put_file(path, bytes);
  std::string const said = refusal([&] { trainer.load(path); });
  INFO(said);
  CHECK(is_one_sentence(said));
  CHECK(contains(said, path));
  return said;
}
std::string replaced(std::string text, std::string_view from, std::string_view to) {
  std::size_t const at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_CASE("what is no checkpoint of this trainer is refused, and the weights stay as they are") {
  Folder const folder;
  std::string const path = folder / "model";
  Sharded trainer(world(), options), untouched(world(), options);
  trainer.save(path);
  std::string const good = bytes_of_file(path);
  Counting const text;
  trainer.step(text), untouched.step(text);

  for (std::size_t const size : {good.size() - 1, good.size() / 2, good.find("end\n") + 4,
                                 good.find("end\n"), good.find("exp_avg")}) {
    INFO(size);
    CHECK(contains(refused(trainer, path, good.substr(0, size)), "is cut short"));
  }
  CHECK(contains(refused(trainer, path, good + "x"), "model"));
  for (std::string const& junk : {std::string(), std::string("tessera\n"), std::string(5000, '\0')})
    CHECK(contains(refused(trainer, path, junk), "is not one"));
  CHECK(contains(refused(trainer, path, replaced(good, "AdamW", "Adamw")), "Adamw"));
  CHECK(contains(refused(trainer, path, replaced(good, "real 4", "real 8")), "real 8"));
  CHECK(contains(refused(trainer, path, replaced(good, "step 0", "step x")), "step"));
  // Another model: other paths, another shape, a state under a wrong name, one twice.
  refused(trainer, path, replaced(good, "embed.position values", "embed.location values"));
  refused(trainer, path, replaced(good, "embed.position values 256", "embed.position values 128"));
  refused(trainer, path, replaced(good, "embed.position exp_avg ", "embed.position average "));
  refused(trainer, path, replaced(good, "embed.position exp_avg_sq ", "embed.position exp_avg "));
  Training<Zero<0>, Frozen<"*.position">> other(world(), options);
  other.save(path);
  refused(trainer, path, bytes_of_file(path));

  std::string const missing = folder / "missing";
  CHECK(contains(refusal([&] { trainer.load(missing); }), missing + " cannot be read"));
  CHECK(contains(refusal([&] { trainer.load(folder / ""); }), "cannot be read"));
  require_equal(trainer, untouched);
  CHECK(trainer.steps() == 1);
}

TEST_CASE("a checkpoint that cannot be written leaves the one before it whole") {
  Folder const folder;
  Sharded trainer(world(), options);
  put_file(folder / "file", "x");
  std::string said = refusal([&] { trainer.save(folder / "file/model"); });
  INFO(said);
  CHECK(is_one_sentence(said));
  CHECK(contains(said, folder / "file/model"));

  // A disk of 1 MiB where one can be made: rank 0's own, so it is gone with the process.
  std::string const disk = folder / "disk", path = disk + "/model";
  int mounted = 0;
  if (world().root()) {
    std::filesystem::create_directory(disk);
    mounted = ::unshare(CLONE_NEWNS) == 0 &&
              ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
              ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  MPI_Bcast(&mounted, 1, MPI_INT, 0, world().comm());
  if (!mounted) {
    MESSAGE("no small disk can be mounted here, so none has been filled");
    return;
  }
  trainer.save(path);
  std::string const good = bytes_of_file(path);
  trainer.step(Counting{});
  if (world().root())  // room for half of a second one
    std::ofstream(disk + "/other") << std::string((1 << 20) - good.size() * 3 / 2, 'x');
  said = refusal([&] { trainer.save(path); });
  INFO(said);
  CHECK(is_one_sentence(said));
  CHECK(contains(said, path));
  CHECK(contains(said, "No space left"));
  if (world().root()) {
    CHECK((bytes_of_file(path) == good));
    CHECK_FALSE(std::filesystem::exists(path + ".unfinished"));
    std::filesystem::remove(disk + "/other");
  }
  trainer.save(path);  // and it goes on
  if (world().root()) {
    CHECK((bytes_of_file(path) != good));
    ::umount(disk.c_str());
  }
}

}  // namespace
