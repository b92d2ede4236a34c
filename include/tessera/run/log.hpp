/// A log of JSON lines: one object a line, on disk as soon as line() returns.
#pragma once

#include <tessera/core/setting.hpp>
#include <tessera/run/json.hpp>
#include <tessera/run/output.hpp>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

class Log {
 public:
  /// A name and a number, a truth value or a text; a number that is not finite is written as null.
  /// Lives as long as the call it is an argument of.
  class Field {
   public:
    template <class T>
    requires(std::integral<T> || std::floating_point<T>) Field(std::string_view name, T value)
        : name_(name) {
      if constexpr (std::same_as<T, bool>)
        kind_ = truth, integer_ = value;
      else if constexpr (std::integral<T>)
        kind_ = whole, integer_ = std::int64_t(value);
      else if constexpr (std::same_as<T, float>)
        kind_ = single, real_ = double(value);
      else
        kind_ = real, real_ = double(value);
    }
    Field(std::string_view name, std::string_view value) : name_(name), kind_(text), text_(value) {}
    Field(std::string_view name, char const* value) : Field(name, std::string_view(value)) {}
    Field(std::string_view name, std::string const& value) : Field(name, std::string_view(value)) {}

    void append_to(std::string& line) const {
      json::append(line, name_);
      line += ": ";
      switch (kind_) {
        case truth: json::append(line, integer_ != 0); break;
        case whole: json::append(line, integer_); break;
        case single: json::append(line, float(real_)); break;
        case real: json::append(line, real_); break;
        case text: json::append(line, text_); break;
      }
    }

   private:
    std::string_view name_;
    enum : unsigned char { truth, whole, single, real, text } kind_ = whole;
    std::int64_t integer_ = 0;
    double real_ = 0;
    std::string_view text_;
  };

  explicit Log(std::string path, OutputFile::Mode mode = OutputFile::Mode::replace)
      : file_(std::move(path), mode) {}

  /// log.line({{"step", 3}, {"train_loss", 1.25f}});
  void line(std::initializer_list<Field> fields) {
    line_ = "{";
    for (Field const& f : fields) {
      if (line_.size() > 1) line_ += ", ";
      f.append_to(line_);
    }
    line_ += "}\n";
    file_.append(line_);
  }

  std::string const& path() const { return file_.path(); }

 private:
  OutputFile file_;
  std::string line_;  // keeps its memory between lines
};

}  // namespace tessera::inline TESSERA_SETTING
