/// Graphs of the double: what streams were asked while they were captured. At a launch each stream
/// but the first is a thread of the graph's own, and captured events alone order them: a wait that
/// is missing inside a graph shows as one outside does.
#include <cuda_double/streams.hpp>

#include <algorithm>

struct CUgraph_st {
  cuda_double::Capture::Lanes lanes;
  std::size_t events = 0;
};
struct CUgraphExec_st {
  CUgraph_st graph;
  cuda_double::Mark* last = nullptr;  // of its latest launch: it never runs beside itself
  std::vector<std::unique_ptr<CUstream_st>> others{};
};

namespace cuda_double {

void Capture::add(cudaStream_t stream, Work work) {
  std::size_t const lane = lane_of(stream);
  push(lane, {.kind = Step::work, .body = std::move(work)});
  lanes_[lane].work = lanes_[lane].steps.size();
}
std::size_t Capture::record(cudaStream_t stream) {
  std::size_t const lane = lane_of(stream), event = behind_.size();
  push(lane, {.kind = Step::record, .event = event});
  behind_.push_back(lanes_[lane].behind);
  return event;
}
void Capture::wait(cudaStream_t stream, std::size_t event) {
  std::size_t const lane = lane_of(stream);
  push(lane, {.kind = Step::wait, .event = event});
  Clock &mine = lanes_[lane].behind, &its = behind_[event];
  mine.resize(std::max(mine.size(), its.size()));
  for (std::size_t i = 0; i < its.size(); ++i) mine[i] = std::max(mine[i], its[i]);
}

bool Capture::joined() const {
  Clock all = lanes_.front().behind;
  all.resize(lanes_.size());
  for (std::size_t i = 1; i < lanes_.size(); ++i)
    if (all[i] < lanes_[i].work) return false;
  return true;
}
std::vector<cudaStream_t> Capture::streams() const {
  std::vector<cudaStream_t> all;
  for (Lane const& lane : lanes_) all.push_back(lane.stream);
  return all;
}
Capture::Lanes Capture::lanes() const {
  Lanes all;
  for (Lane const& lane : lanes_) all.push_back(lane.steps);
  return all;
}

std::size_t Capture::lane_of(cudaStream_t stream) {
  auto const at = std::ranges::find(lanes_, stream, &Lane::stream);
  std::size_t const lane = std::size_t(at - lanes_.begin());
  if (at == lanes_.end()) lanes_.push_back({.stream = stream, .steps = {}, .behind = {}});
  return lane;
}
void Capture::push(std::size_t lane, Step step) {
  Lane& of = lanes_[lane];
  of.steps.push_back(std::move(step));
  of.behind.resize(std::max(of.behind.size(), lane + 1));
  of.behind[lane] = of.steps.size();
}

}  // namespace cuda_double

using namespace cuda_double;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (cudaError_t const error = calling("cudaStreamBeginCapture"); error != cudaSuccess)
    return error;
  if (!known(stream) || stream->capturing)
    return refuse(cudaErrorInvalidValue, "a capture of no stream, or of one that is captured");
  stream->capturing = std::make_shared<Capture>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!known(stream) || !stream->capturing || !stream->capturing->begins_with(stream))
    return refuse(cudaErrorInvalidValue, "the end of a capture that did not begin on this stream");
  auto const capture = stream->capturing;
  capture->end();
  for (cudaStream_t const s : capture->streams())
    if (known(s)) s->capturing = nullptr;
  if (cudaError_t const error = calling("cudaStreamEndCapture"); error != cudaSuccess) return error;
  if (!capture->joined())
    return refuse(cudaErrorStreamCaptureUnjoined,
                  "the first stream of a capture does not wait for all that the others do");
  *graph = new CUgraph_st{capture->lanes(), capture->events()};
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (cudaError_t const error = calling("cudaGraphInstantiate"); error != cudaSuccess) return error;
  *exec = new CUgraphExec_st{*graph};
  for (std::size_t i = 1; i < graph->lanes.size(); ++i) (*exec)->others.push_back(make_stream());
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (cudaError_t const error = calling("cudaGraphLaunch"); error != cudaSuccess) return error;
  if (!known(stream)) return refuse(cudaErrorInvalidResourceHandle, "a graph on no stream");
  if (stream->capturing)
    return refuse(cudaErrorStreamCaptureUnsupported, "a graph on a stream that is captured");
  std::vector<Mark*> marks;
  for (std::size_t k = 0; k < exec->graph.events; ++k) marks.push_back(new Mark);
  if (exec->last) stream->push(waiting(exec->last));
  for (std::size_t i = 0; i < exec->graph.lanes.size(); ++i) {
    CUstream_st& on = i == 0 ? *stream : *exec->others[i - 1];
    for (Capture::Step const& step : exec->graph.lanes[i])
      on.push(step.kind == Capture::Step::work     ? step.body
              : step.kind == Capture::Step::record ? setting(marks[step.event])
                                                   : waiting(marks[step.event]));
  }
  exec->last = new Mark;
  return enqueue(stream, setting(exec->last));
}

}  // extern "C"
