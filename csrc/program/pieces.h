// Steps in pieces, for whoever has a loop of their own: predictions, the way forward, the way back, an update.
#pragma once

#include "program/step.h"

namespace evenflow {

constexpr std::ptrdiff_t parallel_parameters = 16000;  // of an update: 6 us on two threads, 9 on one

template <class T>
void Program<T>::predict(const Feeds& x, const std::vector<T*>& out) {
  Feeds part = x;
  std::vector<T*> to = out;
  for (std::int64_t first = 0; first < x[0].rows; first += plan_.capacity) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      part[i].data = x[i].data + first * x[i].row_stride;
      part[i].rows = std::min<std::int64_t>(plan_.capacity, x[i].rows - first);
    }
    for (std::size_t h = 0; h < out.size(); ++h) to[h] = out[h] + first * plan_.units(h);
    forward(part, to, false, 0);
  }
  forward_rows = 0;
}

template <class T>
void Program<T>::forward(const Feeds& x, const std::vector<T*>& out, bool training, std::uint64_t draw,
                         Health* health) {
  const int rows = static_cast<int>(x[0].rows);
  const int wanted = team_size(rows);
  prepare_scratch(wanted);
  Barrier barrier;
  forward_draws_ = {training, draw, {}, 0};
  team::run(wanted, [&](int thread, int count) {
    Step self(*this, barrier, thread, count, rows, 0);
    self.draws = forward_draws_;
    if (health != nullptr) self.counts_for(health, health->steps, health->rows);
    self.gather(x, 0);
    self.forward(training);
    self.collect_outputs(out);
  });
  if (health != nullptr && health->samples(health->steps)) health->rows += rows;
  forward_rows = rows;
  forward_training_ = training;
}

template <class T>
void Program<T>::predict_mc(const Feeds& x, std::uint64_t seed, std::int64_t first_row, std::int64_t first,
                            std::int64_t count, const std::vector<double*>& mean, const std::vector<double*>& squares) {
  const int wanted = team_size(x[0].rows);
  prepare_scratch(wanted);
  forward_rows = 0;
  for (std::int64_t position = 0; position < x[0].rows; position += plan_.capacity) {
    const int rows = static_cast<int>(std::min<std::int64_t>(plan_.capacity, x[0].rows - position));
    Barrier barrier;
    team::run(wanted, [&](int thread, int threads_of_team) {
      Step self(*this, barrier, thread, threads_of_team, rows, 0);
      for (std::int64_t pass = first; pass < first + count; ++pass) {
        self.draws = {true, static_cast<std::uint64_t>(pass), seed, static_cast<std::uint32_t>(first_row + position)};
        // What lies below the lowest random layer is the same in every pass. Inputs themselves are not kept.
        const int from = pass == first ? 0 : plan_.noisy;
        self.gather(x, position, from);
        self.forward(false, from);
        for (std::size_t h = 0; h < mean.size(); ++h) {
          const T* y = self.finish_output(h);
          const int units = plan_.units(h);
          for (int row = self.first_row(thread); row < self.first_row(thread + 1); ++row) {
            k_.collect(self.scratch, y, plan_.panel_stride(), row, units);
            for (int i = 0; i < units; ++i) {
              const std::int64_t at = (position + row) * units + i;
              const double value = static_cast<double>(self.scratch[i]), difference = value - mean[h][at];
              mean[h][at] += difference / static_cast<double>(pass + 1);  // Welford 1962
              squares[h][at] += difference * (value - mean[h][at]);
            }
          }
        }
        barrier.wait(threads_of_team);  // nobody begins the next pass while this one's outputs are read
      }
    });
  }
}

template <class T>
void Program<T>::backward(const std::vector<const T*>& dy, const std::vector<T*>& dx) {
  const int rows = forward_rows;
  const int wanted = std::min(team_size(rows), static_cast<int>(scratch_.size()));
  const int full = plan_.layout.full();
  Barrier barrier;
  team::run(wanted, [&](int thread, int count) {
    Step self(*this, barrier, thread, count, rows, 0);
    self.draws = forward_draws_;
    self.measures = true;
    for (std::size_t h = 0; h < dy.size(); ++h) {
      const int last = plan_.heads[h].stage, units = plan_.units(h);
      self.own_panels(units, [&](int panel, int width) {
        const int valid = std::min(full, units - panel * full);
        for (int row = 0; row < rows; ++row) {
          T* to = self.gradient(last, panel) + static_cast<std::ptrdiff_t>(row) * width;
          std::copy_n(dy[h] + static_cast<std::ptrdiff_t>(row) * units + panel * full, valid, to);
          std::fill(to + valid, to + width, T(0));
        }
      });
    }
    self.orthogonalize(true);
    barrier.wait(count);
    for (std::size_t h = 0; h < dy.size(); ++h) {
      const Head& head = plan_.heads[h];
      const int units = plan_.units(h);
      if (of_rows(head.output)) {
        T* dz = self.gradient(head.stage, 0);
        k_.output_backward(head.output, dz, dz, outputs_[h].probabilities, plan_.panel_stride(), units, self.scratch,
                           self.first_row(thread), self.first_row(thread + 1));
      } else if (head.output == Output::sigmoid) {
        self.own_panels(units, [&](int panel, int width) {
          self.sigmoid_kernel().backward[0](self.gradient(head.stage, panel), nullptr,
                                            outputs_[h].probabilities + panel * plan_.panel_stride(), rows, width, {},
                                            nullptr, nullptr, nullptr);
        });
      }
    }
    barrier.wait(count);
    self.follow(plan_.whole, forward_training_);
    self.merge_learned();
    for (int number = 0; number < static_cast<int>(plan_.stages.size()); ++number) {
      const Stage& stage = plan_.stages[static_cast<std::size_t>(number)];
      if (stage.map != Map::gather) continue;
      T* to = dx[static_cast<std::size_t>(stage.input)];
      self.own_panels(stage, [&](int panel, int width) {
        const int valid = std::min(full, stage.units - panel * full);
        T* dz = self.gradient(number, panel);
        if (stage.factor != 1) k_.rescale(dz, rows, width, stage.factor, 0);
        for (int row = 0; row < rows; ++row)
          std::copy_n(dz + static_cast<std::ptrdiff_t>(row) * width, valid,
                      to + static_cast<std::ptrdiff_t>(row) * stage.units + panel * full);
      });
    }
  });
  forward_rows = 0;  // the activations are spent
  norms_known = true;
}

template <class T>
double Program<T>::update(double learning_rate, std::optional<double> momentum, Health* health) {
  const int wished = threads.load();
  const int most = team::granted(wished > 0 ? wished : team::limit());
  const int wanted = wished > 0 || plan_.trainable_size >= parallel_parameters ? most : 1;
  prepare_scratch(wanted);
  const Momenta before = momenta;
  bool stepped = false;
  Barrier barrier;
  team::run(wanted, [&](int thread, int count) {
    Step self(*this, barrier, thread, count, 1, iterations + 1);
    self.momentum = momentum;
    Momenta own = before;
    if (self.steps) self.rules(learning_rate, momenta_until(own, self.step, momentum ? &*momentum : nullptr));
    self.accumulates = plan_.accumulator >= 0;
    self.measures = self.accumulates || !norms_known;
    if (self.steps) self.counts_for(health, health != nullptr ? health->steps : 0, 0);
    if (self.measures) {
      self.read_gradients();
      barrier.wait(count);
    }
    self.update();
    self.limit_across();
    if (thread == 0) {
      momenta = own;
      stepped = self.steps;
    }
  });
  if (health != nullptr && stepped) {
    if (health->samples(health->steps)) note_health(*health);
    ++health->steps;
  }
  ++iterations;
  norms_known = true;
  return gradient_norm();
}

}  // namespace evenflow
