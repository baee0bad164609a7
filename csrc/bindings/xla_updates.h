// Update rules for XLA: one step of all variables of a tree in one call, in place where XLA gives the same memory back.
#pragma once

#include <cmath>
#include <cstring>
#include <optional>
#include <variant>
#include <vector>

#include "bindings/eager.h"
#include "bindings/xla_call.h"
#include "program/spec.h"

namespace evenflow {

// So many arrays of each role (p, g, each slot), role after role, and where those that change go.
template <class T>
struct XlaVariables {
  std::size_t count, roles;
  std::vector<std::ptrdiff_t> sizes;
  std::vector<const T*> from;
  std::vector<T*> to;

  XlaVariables(const XlaCall& call, std::size_t variables, std::size_t roles_, std::size_t read_only)
      : count(variables), roles(roles_) {
    std::size_t result = 0;
    for (std::size_t role = 0; role < roles; ++role)
      for (std::size_t v = 0; v < count; ++v) {
        const std::ptrdiff_t n = size_of(call, call.argument(role * count + v));
        if (role == 0) sizes.push_back(n);
        const xla::Buffer* own = role == read_only ? nullptr : &call.result(result++);
        if (n != sizes[v] || (own != nullptr && size_of(call, *own) != n))
          refuse(call.name, "arguments", "arrays as large as the variables", std::to_string(n) + " elements");
        from.push_back(static_cast<const T*>(call.argument(role * count + v).data));
        to.push_back(own == nullptr ? nullptr : static_cast<T*>(own->data));
      }
  }
  std::ptrdiff_t elements() const {
    std::ptrdiff_t total = 0;
    for (const std::ptrdiff_t n : sizes) total += n;
    return total;
  }
  // run(from, to, n) for this thread's part of each variable: its roles. What changes is in its place already.
  template <class Run>
  void each_slice(int thread, int threads, Run run) const {
    for (std::size_t v = 0; v < count; ++v) {
      const Slice own(sizes[v], thread, threads);
      if (own.first >= own.end) continue;
      const T* in[most_slots + 2] = {};
      T* out[most_slots + 2] = {};
      for (std::size_t role = 0; role < roles; ++role) {
        in[role] = from[role * count + v] + own.first;
        if (to[role * count + v] == nullptr) continue;
        out[role] = to[role * count + v] + own.first;
        if (out[role] != in[role])
          std::memcpy(out[role], in[role], sizeof(T) * static_cast<std::size_t>(own.end - own.first));
      }
      run(in, out, own.end - own.first);
    }
  }

 private:
  static std::ptrdiff_t size_of(const XlaCall& call, const xla::Buffer& buffer) {
    if (buffer.dtype != xla_type<T>) refuse(call.name, "arguments", "one type for all variables", "several");
    std::ptrdiff_t n = 1;
    for (std::int64_t i = 0; i < buffer.rank; ++i) n *= buffer.dims[i];
    return n;
  }
};

// The norm of all arrays of a role: squares of blocks, whose sums are added in order whatever the threads.
template <class T>
class XlaNorm {
 public:
  XlaNorm(const XlaVariables<T>& variables, std::size_t role) {
    for (std::size_t v = 0; v < variables.count; ++v)
      for (std::ptrdiff_t first = 0; first < variables.sizes[v]; first += block)
        blocks_.push_back(
            {variables.from[role * variables.count + v] + first, std::min(block, variables.sizes[v] - first)});
    sums_.resize(blocks_.size());
  }
  void add_up(int thread, int threads) {
    const Share own(static_cast<int>(blocks_.size()), thread, threads);
    for (int i = own.first; i < own.end; ++i)
      sums_[static_cast<std::size_t>(i)] =
          kernels<T>().square_sum(blocks_[static_cast<std::size_t>(i)].data, blocks_[static_cast<std::size_t>(i)].size);
  }
  double value() const {
    double total = 0;
    for (const double sum : sums_) total += sum;
    return std::sqrt(total);
  }
  // min(1, limit / norm)
  Clip clip(double limit) const {
    Clip how;
    if (const double norm = value(); !(norm <= limit)) how.scale = limit / norm;
    return how;
  }

 private:
  static constexpr std::ptrdiff_t block = 1 << 14;
  struct Block {
    const T* data;
    std::ptrdiff_t size;
  };
  std::vector<Block> blocks_;
  std::vector<double> sums_;
};

// Hyper-parameters into an optimizer's members, from attributes of their names.
struct XlaHyperparameters {
  const XlaCall& call;
  void operator()(const char* name, double& member, Range range) const {
    member = call.number(name);
    check_range(call.name, name, member, range);
  }
  void operator()(const char* name, bool& member) const { member = call.flag(name); }
};

template <class... Optimizer>
AnyOptimizer xla_optimizer(const XlaCall& call, List<Optimizer...>) {
  const AnyOptimizer made[] = {Optimizer()...};
  AnyOptimizer found = made[index_of(call.name, "rule", call.text("rule"), {Optimizer::name...})];
  std::visit([&](auto& optimizer) { optimizer.each(optimizer, XlaHyperparameters{call}); }, found);
  return found;
}

// The product of Nadam's momenta before a step. A thread's last one is kept: the next step's follows from it.
inline double momenta_before(const NadamOptimizer& optimizer, std::int64_t step) {
  struct Kept {
    double beta_1 = -1, momentum_decay = -1;
    Momenta before;
  };
  static thread_local Kept kept;
  const bool same = kept.beta_1 == optimizer.beta_1 && kept.momentum_decay == optimizer.momentum_decay;
  if (!same) kept = {optimizer.beta_1, optimizer.momentum_decay, Momenta()};
  if (kept.before.step() != step - 1) kept.before.until(optimizer, step - 1, nullptr);
  return kept.before.product();
}

// p, g and slots of all variables, the number of steps before this one, and a rate if `scheduled`; to p and slots.
// Attributes: rule, roles, learning_rate, weight_decay, limit of the norm (0: none), and the rule's own.
struct XlaUpdate {
  static constexpr const char* name = "evenflow_update";
  static void run(XlaCall& call) {
    by_type(call, [&](auto type) {
      using T = decltype(type);
      const auto roles = static_cast<std::size_t>(call.number("roles"));
      const bool scheduled = call.flag("scheduled");
      if (roles < 2 || roles > most_slots + 2 || call.arguments() < 1 + std::size_t{scheduled})
        refuse(call.name, "roles", "2 to 5", std::to_string(roles));
      const std::size_t arrays = call.arguments() - 1 - std::size_t{scheduled};
      const XlaVariables<T> variables(call, arrays / roles, roles, 1);
      const std::int64_t step = 1 + std::int64_t{scalar<std::int32_t>(call, arrays)};
      const double rate = scheduled ? rate_of(call, arrays + 1) : call.number("learning_rate");
      const double limit = call.number("limit");
      const Decay decay{call.number("weight_decay") * rate, 0};
      std::visit(
          [&](const auto& optimizer) {
            double momenta = 1;
            if constexpr (std::decay_t<decltype(optimizer)>::momentum_changes) {
              Momenta product(step - 1, momenta_before(optimizer, step));
              momenta = product.until(optimizer, step, nullptr);
            }
            optimizer.rule({rate, static_cast<double>(step), momenta}, [&](const auto& rule) {
              constexpr std::size_t own = std::decay_t<decltype(rule)>::slots + 2;
              if (own != roles) refuse(call.name, "roles", std::to_string(own), std::to_string(roles));
              apply(variables, rule, limit, decay);
            });
          },
          xla_optimizer(call, Optimizers()));
    });
  }

 private:
  template <class T, class Rule>
  static void apply(const XlaVariables<T>& variables, const Rule& rule, double limit, const Decay& decay) {
    const Turn turn;
    const double passes = 2 * static_cast<double>(variables.roles) - (limit > 0 ? 0 : 1);
    const int wanted = eager_threads(
        static_cast<double>(variables.elements()) * sizeof(T) * passes * nanoseconds_of_byte, turn.threads());
    std::optional<XlaNorm<T>> norm;
    if (limit > 0) norm.emplace(variables, 1);
    Barrier barrier;
    team::run(wanted, [&](int thread, int threads) {
      Clip clip;
      if (norm) {
        norm->add_up(thread, threads);
        barrier.wait(threads);
        clip = norm->clip(limit);
      }
      variables.each_slice(thread, threads, [&](const T* const* in, T* const* out, std::ptrdiff_t n) {
        kernels<T>().update(rule, clip, decay, out[0], in[1], out + 2, n);
      });
    });
  }
  template <class S>
  static S scalar(const XlaCall& call, std::size_t argument) {
    const xla::Buffer& buffer = call.argument(argument);
    if (buffer.rank != 0 || buffer.dtype != xla_type<S>)
      refuse(call.name, "arguments", "a scalar behind the variables", "rank " + std::to_string(buffer.rank));
    return *static_cast<const S*>(buffer.data);
  }
  static double rate_of(const XlaCall& call, std::size_t argument) {
    if (call.argument(argument).dtype == xla::DataType::f32) return static_cast<double>(scalar<float>(call, argument));
    return scalar<double>(call, argument);
  }
};

// Gradients to the same with a norm of at most `limit`, and the norm before.
struct XlaClip {
  static constexpr const char* name = "evenflow_clip_by_global_norm";
  static void run(XlaCall& call) {
    by_type(call, [&](auto type) {
      using T = decltype(type);
      const XlaVariables<T> gradients(call, call.arguments(), 1, 1);
      const double limit = call.number("limit");
      const Turn turn;
      const int wanted = eager_threads(static_cast<double>(gradients.elements()) * sizeof(T) * 3 * nanoseconds_of_byte,
                                       turn.threads());
      XlaNorm<T> norm(gradients, 0);
      Barrier barrier;
      team::run(wanted, [&](int thread, int threads) {
        norm.add_up(thread, threads);
        barrier.wait(threads);
        const Clip clip = norm.clip(limit);
        gradients.each_slice(thread, threads, [&](const T* const*, T* const* out, std::ptrdiff_t n) {
          if (clip.active()) kernels<T>().clip(out[0], n, clip);
        });
      });
      *static_cast<T*>(call.result(gradients.count).data) = static_cast<T>(norm.value());
    });
  }
};

}  // namespace evenflow
