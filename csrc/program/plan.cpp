#include "program/plan.h"

#include <algorithm>
#include <stdexcept>

#include "program/arena.h"

namespace evenflow {

Plan::Plan(Spec from, Layout lanes, int rows, const Known& known)
    : spec(std::move(from)), layout(lanes), capacity(rows) {
  fold(known);
  check_loss();
  place_parameters();
  place_slots();
  place_activations(known);
  place_orthogonals();
  make_schedules();
}

void Plan::check_loss() {
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const auto& loss = spec.outputs[h].loss;
    if (!loss) continue;
    const Output output = heads[h].output;
    heads[h].fused_loss = loss->from_logits || (output != Output::plain && output == loss->absorbs());
    if (units(h) % loss->outputs_per_target() != 0)
      throw std::invalid_argument("Program: loss: expected " + std::to_string(loss->outputs_per_target()) +
                                  " outputs for each target, received " + std::to_string(units(h)) + " in all");
    if (loss->from_logits && of_rows(output) && output != Output::softmax &&
        (output != Output::log_softmax || loss->absorbs() != Output::softmax))
      throw std::invalid_argument(std::string("Program: loss: expected from_logits=False after ") +
                                  output_names[static_cast<int>(output)] + ", received True");
  }
}

void Plan::place_parameters() {
  for (bool trainable : {true, false}) {
    for (Variable& v : variables)
      if (v.trainable == trainable) {
        v.offset = parameter_size;
        parameter_size += v.size;
        trained += trainable;
      }
    if (trainable) trainable_size = parameter_size;
  }
}

void Plan::place_slots() {
  if (!spec.optimizer.optimizer) return;
  const auto& excluded = spec.optimizer.undecayed;
  for (const std::string& name : excluded)
    if (find(name) < 0)
      throw std::invalid_argument("Program: optimizer: undecayed: there is no variable '" + name + "'");
  for (Variable& v : variables)
    v.decays = v.trainable && std::find(excluded.begin(), excluded.end(), v.name) == excluded.end();
  std::visit(
      [&](const auto& optimizer) {
        optimizer.rule(Moment{0, 1, 0}, [&](auto rule) {
          for (int s = 0; s < rule.slots; ++s) slots.emplace_back(rule.slot_names[s]);
        });
      },
      *spec.optimizer.optimizer);
  rule_slots = static_cast<int>(slots.size());
  const auto extra_slot = [&](const char* name) {
    slots.emplace_back(name);
    return static_cast<int>(slots.size()) - 1;
  };
  if (spec.optimizer.ema_momentum) average = extra_slot("average");
  if (spec.optimizer.accumulation > 1) accumulator = extra_slot("gradient_accumulator");
  for (const auto& [name, of_rate] : spec.optimizer.rate_factors) {
    const int number = find(name);
    if (number < 0)
      throw std::invalid_argument("Program: optimizer: learning_rate_factors: there is no variable '" + name + "'");
    const auto found = std::find(rates.begin(), rates.end(), of_rate);
    variables[static_cast<std::size_t>(number)].rate = static_cast<int>(found - rates.begin());
    if (found == rates.end()) rates.push_back(of_rate);
  }
}

void Plan::place_activations(const Known& known) {
  // An operation works in place unless the backward pass needs its input
  const auto take = [&](int units) {
    const std::ptrdiff_t at = activation_size;
    activation_size += product(layout.padded(units), capacity);
    return at;
  };
  noisy = static_cast<int>(stages.size());
  for (std::size_t s = 0; s < stages.size(); ++s) {
    Stage& stage = stages[s];
    std::ptrdiff_t at = stage.product =
        stage.map == Map::same ? stages[static_cast<std::size_t>(stage.from[0])].output : take(stage.units);
    // The value at `at` is read again: by the row operation's way back or by other readers, or by the slope of the
    // activation it came from.
    bool kept = of_rows(stage.map) || stage.map == Map::same;
    // It surely is, in training; and while random layers are off, when they leave the value where it is.
    bool read = kept, read_when_quiet = kept;
    Segment* writer = nullptr;  // the last segment that does something while random layers are off
    if (of_rows(stage.map) && stage.map != Map::row_activation) {
      stage.inverses = activation_size;
      activation_size += product(layout.padded(capacity), 1);
    }
    for (Segment& segment : stage.segments) {
      const bool reads_input = known.needs_input[static_cast<std::size_t>(segment.activation)];
      const bool random = segment.noise.kind >= 0, identity = random && segment.activation == 0;
      const bool shows = random && known.shows_draw[static_cast<std::size_t>(segment.noise.kind)];
      segment.in = at;
      const bool apart = random ? read || (read_when_quiet && !identity)
                                : kept || read_when_quiet || segment.form == Affine::normalize || reads_input;
      if (apart) at = take(stage.units);
      if (identity && writer != nullptr)
        for (Segment* one = writer; one != &segment; ++one) one->quiet = at;
      segment.left_out = identity && (writer != nullptr || !apart);
      segment.out = segment.quiet = at;
      if (!segment.left_out) writer = &segment;
      kept = segment.activation != 0 || segment.activity.active() || shows;
      read = (segment.activation != 0 && !reads_input) || segment.activity.active() || shows;
      if (!identity) read_when_quiet = read;
      if (random) noisy = std::min(noisy, static_cast<int>(s));
    }
    stage.output = at;
    gradient_panel_size = std::max(gradient_panel_size, product(layout.padded(stage.units), capacity));
  }
  for (Stage& stage : stages)
    for (Segment& segment : stage.segments) {
      segment.statistics = activation_size;
      const bool shared = segment.groups.count > 0;
      activation_size += (shared ? 8 : 6) * static_cast<std::ptrdiff_t>(layout.padded(stage.units));
      if (shared) activation_size += 4 * static_cast<std::ptrdiff_t>(layout.padded(segment.groups.count));
      segment.learned_columns = activation_size;
      if (segment.learned >= 0) activation_size += 2 * static_cast<std::ptrdiff_t>(layout.padded(stage.units));
    }
}

void Plan::place_orthogonals() {
  const auto take = [&](int columns, int rows) {
    const std::ptrdiff_t at = activation_size;
    activation_size += product(layout.padded(columns), rows);
    return at;
  };
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const Variable& v = variables[i];
    const Orthogonal& how = v.regularization.orthogonal;
    if (!v.trainable || how.factor == 0) continue;
    const int count = how.rows ? v.inputs : v.units, length = how.rows ? v.units : v.inputs;
    Orthogonals found{static_cast<int>(i), take(count, layout.padded(length)),
                      take(count, 1),      take(count, count),
                      take(count, length), 0};
    found.gradient = how.rows ? take(v.units, layout.padded(v.inputs)) : found.slopes;
    orthogonals.push_back(found);
  }
}

int Plan::target_columns(std::size_t head) const {
  const auto& loss = spec.outputs[head].loss;
  if (!loss) return units(head);
  return loss->labels() ? 1 : units(head) / loss->outputs_per_target();
}

int Plan::find(const std::string& name) const {
  for (std::size_t i = 0; i < variables.size(); ++i)
    if (variables[i].name == name) return static_cast<int>(i);
  return -1;
}

}  // namespace evenflow
