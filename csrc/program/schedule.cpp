// The order of a step: where threads meet, when a kernel may change, and which gradients are alive together.
#include <algorithm>

#include "program/plan.h"

namespace evenflow {

namespace {

// Meetings so far, as a clock: what happens between the same two is not ordered among threads.
struct Clock {
  Schedule& schedule;
  int phase = 0;

  void operator()(Operation::Kind kind, int stage = -1) {
    schedule.push_back({kind, stage});
    if (kind == Operation::meet) ++phase;
  }
};

}  // namespace

// From the last stage to those that are needed: that have something trainable, or lie above something that has.
Schedule Plan::way_back(const std::vector<bool>& needed, bool updates) const {
  Schedule schedule;
  Clock clock{schedule};
  const int count = static_cast<int>(stages.size());
  std::vector<int> done(stages.size(), -1);  // phase in which its gradient was complete
  std::vector<int> waiting;  // stages whose variables are still to be updated; or whose gradients to be written
  const auto at = [&](int s) -> const Stage& { return stages[static_cast<std::size_t>(s)]; };
  const auto is_needed = [&](int s) { return needed[static_cast<std::size_t>(s)]; };
  const auto over = [&](int s) {
    return done[static_cast<std::size_t>(s)] >= 0 && done[static_cast<std::size_t>(s)] < clock.phase;
  };
  // A panel of a kernel that a stage reads transposed has its gradient from all panels of the stage's, after a meeting.
  // It is written before the gradient of the stage that has the kernel, which is lower: none waits at the end.
  const auto crosses_back = [&](int s) {
    return at(s).map == Map::transposed && variables[static_cast<std::size_t>(at(s).kernel)].trainable;
  };
  const auto write_those_over = [&] {
    for (int s : waiting)
      if (over(s)) clock(Operation::weights, s);
    waiting.erase(std::remove_if(waiting.begin(), waiting.end(), over), waiting.end());
  };
  // A kernel may change once nobody computes the gradient below it any more.
  const auto update_those_over = [&] {
    const auto passed = [&](int s) {
      const auto& from = at(s).from;
      return over(s) && std::all_of(from.begin(), from.end(), [&](int f) { return !is_needed(f) || over(f); });
    };
    const auto free = [&](int s) {  // with the stages above that use the same kernel
      if (at(s).kernel < 0) return passed(s);
      const auto& users = variables[static_cast<std::size_t>(at(s).kernel)].stages;
      return std::all_of(users.begin(), users.end(), [&](int user) { return user < s || passed(user); });
    };
    for (int s : waiting)
      if (free(s)) clock(Operation::weights_and_update, s);
    waiting.erase(std::remove_if(waiting.begin(), waiting.end(), free), waiting.end());
  };
  for (int s = count - 1; s >= 0; --s) {
    if (!is_needed(s)) continue;
    const auto just_done = [&](int other) { return done[static_cast<std::size_t>(other)] == clock.phase; };
    const auto& readers = at(s).readers;
    if (std::any_of(readers.begin(), readers.end(),
                    [&](auto reader) { return crosses(at(reader.stage).map) && just_done(reader.stage); }) ||
        std::any_of(waiting.begin(), waiting.end(),
                    [&](int other) { return !updates && at(other).kernel == at(s).kernel && just_done(other); }))
      clock(Operation::meet);
    clock(Operation::slopes, s);
    done[static_cast<std::size_t>(s)] = clock.phase;
    updates ? update_those_over() : write_those_over();
    if (at(s).trainable) {
      if (!updates && at(s).map == Map::embedding) clock(Operation::meet);  // a table's piece has to do with all panels
      if (updates || crosses_back(s))
        waiting.push_back(s);
      else
        clock(Operation::weights, s);
    }
    if (of_rows(at(s).map) && is_needed(at(s).from[0])) {
      clock(Operation::meet);
      clock(Operation::rows, s);
      done[static_cast<std::size_t>(s)] = clock.phase;
    }
  }
  if (schedule.empty()) return schedule;
  clock(Operation::meet);
  if (updates) update_those_over();
  return schedule;
}

void Plan::make_schedules() {
  int seen = -1;  // stages up to this one are complete for all threads
  for (int s = 0; s < static_cast<int>(stages.size()); ++s) {
    Stage& stage = stages[static_cast<std::size_t>(s)];
    stage.meets = crosses(stage.map) && *std::max_element(stage.from.begin(), stage.from.end()) > seen;
    if (stage.meets || of_rows(stage.map)) seen = s - 1;
  }
  // A thread with one vector more than the others in a stage has one less where two stages at once go backward. Other
  // maps read panels without a meeting, and so must have the owners of what they read.
  const bool chain =
      heads.size() == 1 &&
      std::all_of(
          stages.begin(), stages.end(),
          [](const Stage& stage) { return (stage.map == Map::gather || stage.map == Map::linear) && !stage.shared; }) &&
      std::all_of(variables.begin(), variables.end(), [](const Variable& v) { return v.stages.size() <= 1; });
  for (std::size_t s = 0; s < stages.size(); ++s)
    stages[s].mirrored = chain && stages[s].map == Map::linear && s / 2 % 2 == 1;
  std::vector<bool> needed;
  for (const Stage& stage : stages)
    needed.push_back(stage.trainable || std::any_of(stage.from.begin(), stage.from.end(),
                                                    [&](int f) { return needed[static_cast<std::size_t>(f)]; }));
  fused = way_back(needed, true);
  separate = way_back(needed, false);
  whole = way_back(std::vector<bool>(stages.size(), true), false);
  place_gradients();
}

// Each gradient has one of few buffers, free of others from its first use to its last in every schedule.
void Plan::place_gradients() {
  struct Life {
    int first = 1 << 30, last = -1;
  };
  const Schedule* schedules[] = {&fused, &separate, &whole};
  std::vector<std::array<Life, 3>> lives(stages.size());
  for (std::size_t k = 0; k < 3; ++k) {
    int phase = 0;
    const auto touch = [&](int s) {
      Life& life = lives[static_cast<std::size_t>(s)][k];
      life.first = std::min(life.first, phase);
      life.last = std::max(life.last, phase);
    };
    for (const Head& head : heads) touch(head.stage);  // by the loss
    for (const Operation& operation : *schedules[k]) {
      if (operation.kind == Operation::meet) {
        ++phase;
        continue;
      }
      const Stage& stage = stages[static_cast<std::size_t>(operation.stage)];
      touch(operation.stage);
      if (operation.kind == Operation::slopes)
        for (const Stage::Reader& reader : stage.readers) touch(reader.stage);
      if (operation.kind == Operation::rows) touch(stage.from[0]);
    }
    if (k == 2)
      for (std::size_t s = 0; s < stages.size(); ++s)
        if (stages[s].map == Map::gather) touch(static_cast<int>(s));  // what is returned
  }
  std::vector<std::array<int, 3>> busy_until;  // of each buffer
  for (std::size_t s = stages.size(); s-- > 0;) {
    const auto free = [&](const std::array<int, 3>& until) {
      for (std::size_t k = 0; k < 3; ++k)
        if (until[k] >= lives[s][k].first) return false;
      return true;
    };
    const auto found = std::find_if(busy_until.begin(), busy_until.end(), free);
    stages[s].gradient_buffer = static_cast<int>(found - busy_until.begin());
    if (found == busy_until.end()) busy_until.push_back({-1, -1, -1});
    std::array<int, 3>& until = busy_until[static_cast<std::size_t>(stages[s].gradient_buffer)];
    for (std::size_t k = 0; k < 3; ++k) until[k] = std::max(until[k], lives[s][k].last);
  }
  gradient_buffers = static_cast<int>(busy_until.size());
}

}  // namespace evenflow
