// SPDX-License-Identifier: Apache-2.0
// scam._cuda: the CUDA kernels for Python, over addresses, strides and a stream. Knows no torch.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "sca_cuda/params.h"

namespace py = pybind11;
using namespace sca;

namespace {

constexpr int MAX_CHANNELS = 1024;

[[noreturn]] void refuse(const std::string& what, const std::string& expected, int64_t found) {
  throw py::value_error(what + ": expected " + expected + ", got " + std::to_string(found));
}

void check_between(const std::string& what, int64_t found, int64_t low, int64_t high) {
  if (found < low || found > high)
    refuse(what, std::to_string(low) + " to " + std::to_string(high), found);
}

void check_there(const std::string& what, const void* address) {
  if (!address) throw py::value_error(what + ": expected an address, got none");
}

void check_dtype(int32_t dtype) { check_between("dtype", dtype, BF16, FP16); }

void check_channels(int32_t channels) {
  if (channels < 16 || channels > MAX_CHANNELS || channels % 16)
    refuse("channels", "a multiple of 16 up to " + std::to_string(MAX_CHANNELS), channels);
}

// What is read and written 16 bytes at a time.
void check_pixels(const std::string& what, const View& view, bool channels_last, int64_t pixels) {
  if (!view.data) return;
  const uintptr_t address = reinterpret_cast<uintptr_t>(view.data);
  if (address % 16) refuse(what, "an address that is a multiple of 16", address % 16);
  const int unit = channels_last ? 3 : 2;
  if (view.stride[unit] != 1)
    refuse(what, channels_last ? "channel stride 1" : "pixel stride 1", view.stride[unit]);
  for (int axis = 0; axis < 4; ++axis)
    if (axis != unit && view.stride[axis] % 8)
      refuse(what, "strides that are multiples of 8", view.stride[axis]);
  for (int axis = 2; axis < 4; ++axis) check_between(what, view.stride[axis], 0, INT32_MAX);
  if (!channels_last && pixels % 8)
    refuse("pixels", "a multiple of 8 where channels come first", pixels);
}

void check_tokens(const Tokens& tokens) {
  check_between("tokens.heads", tokens.heads, 1, 65535);
  check_between("tokens.roles", tokens.roles, 1, 3);
  if (tokens.count == 0) return;
  check_there("tokens.rows", tokens.rows);
  check_there("tokens.scalars", tokens.scalars);
  check_there("tokens.sources", tokens.sources);
  if (reinterpret_cast<uintptr_t>(tokens.rows) % 16)
    refuse("tokens.rows", "an address that is a multiple of 16", 0);
}

void check_tiles(const Plan& plan) {
  check_there("plan.order", plan.order);
  check_there("plan.tiles", plan.tiles);
  check_between("plan.count", plan.count, 1, INT32_MAX);
}

void check_plan(const Plan& plan) {
  check_there("plan.order", plan.order);
  check_there("plan.pieces", plan.pieces);
  check_between("plan.count", plan.count, 1, INT32_MAX);
}

void check(const PackParams& p) {
  check_dtype(p.dtype);
  check_channels(p.channels);
  check_there("order", p.order);
  check_between("batch", p.batch, 0, 65535);
  check_tokens(p.tokens);
  const int64_t rows = static_cast<int64_t>(p.batch) * p.tokens.heads * p.tokens.count;
  check_between("batch * tokens.heads * tokens.count * tokens.roles", rows * p.tokens.roles, 0,
                INT32_MAX);
  for (int role = 0; role < p.tokens.roles; ++role)
    check_there("rows[" + std::to_string(role) + "]", p.rows[role].data);
}

void check(const ModulationParams& p) {
  check_dtype(p.dtype);
  check_channels(p.channels);
  check_between("batch", p.batch, 0, 65535);
  check_there("x", p.x.data);
  check_pixels("x", p.x, p.channels_last, p.pixels);
  check_pixels("pixel_out", p.pixel_out, p.channels_last, p.pixels);
  check_pixels("grad_y", p.grad_y, p.channels_last, p.pixels);
  check_pixels("position", p.position, p.channels_last, p.pixels);
  check_there("mean", p.mean);
  check_there("rstd", p.rstd);
  check_tokens(p.tokens);
  if (!p.noise.data != !p.noise_scale)
    throw py::value_error("noise, noise_scale: expected both or neither");
}

void check(const AttentionParams& p) {
  check_dtype(p.dtype);
  check_channels(p.channels);
  check_between("batch", p.batch, 0, 65535);
  check_between("heads", p.heads, 1, 65535);
  check_between("batch * heads", static_cast<int64_t>(p.batch) * p.heads, 0, 65535);
  check_there("x", p.x.data);
  check_pixels("x", p.x, p.channels_last, p.pixels);
  check_pixels("z", p.z, p.channels_last, p.pixels);
  check_pixels("pixel_out", p.pixel_out, p.channels_last, p.pixels);
  check_pixels("grad_z", p.grad_z, p.channels_last, p.pixels);
  check_tokens(p.tokens);
}

template <class Params>
void check_logs(const Params& p) {
  check_there("lse", p.lse);
  check_there("lse_rest", p.lse_rest);
}

// Sums of latents stay in registers.
void check_wide(const AttentionParams& p) {
  check_between("channels", p.channels, 16, 256);
  check_plan(p.plan);
}

template <class Params>
auto checked(int (*function)(const Params&, void*), void (*also)(const Params&) = nullptr) {
  return [=](const Params& params, uintptr_t stream) {
    check(params);
    if (also) also(params);
    const int status = function(params, reinterpret_cast<void*>(stream));
    if (status) throw std::runtime_error(status_text(status));
  };
}

// Addresses are integers in Python.
template <class Class, class Owner, class Address>
void address(Class& bound, const char* name, Address* Owner::*field) {
  bound.def_property(
      name, [=](const Owner& self) { return reinterpret_cast<uintptr_t>(self.*field); },
      [=](Owner& self, uintptr_t value) { self.*field = reinterpret_cast<Address*>(value); });
}

template <class Class, class Owner, class Item, size_t count>
void list(Class& bound, const char* name, Item (Owner::*field)[count]) {
  bound.def_property(
      name,
      [=](const Owner& self) { return std::vector<Item>(self.*field, self.*field + count); },
      [=](Owner& self, const std::vector<Item>& values) {
        if (values.size() > count) throw py::value_error("more than " + std::to_string(count));
        for (size_t i = 0; i < count; ++i)
          (self.*field)[i] = i < values.size() ? values[i] : Item();
      });
}

}  // namespace

PYBIND11_MODULE(SCAM_CUDA_MODULE, m) {
  m.doc() = "CUDA kernels of scam; scam/ops/backends/cuda.py calls them.";
  m.attr("max_channels") = MAX_CHANNELS;

  py::class_<View>(m, "View").def(py::init<>()).def(
      py::init([](uintptr_t data, std::array<int64_t, 4> stride) {
        return View{reinterpret_cast<void*>(data), {stride[0], stride[1], stride[2], stride[3]}};
      }));

  auto tokens = py::class_<Tokens>(m, "Tokens").def(py::init([] { return Tokens(); }));
  tokens.def_readwrite("heads", &Tokens::heads).def_readwrite("count", &Tokens::count);
  tokens.def_readwrite("roles", &Tokens::roles);
  address(tokens, "rows", &Tokens::rows);
  address(tokens, "scalars", &Tokens::scalars);
  address(tokens, "sources", &Tokens::sources);

  auto plan = py::class_<Plan>(m, "Plan").def(py::init([] { return Plan(); }));
  plan.def_readwrite("count", &Plan::count).def_readwrite("rows", &Plan::rows);
  address(plan, "order", &Plan::order);
  address(plan, "tiles", &Plan::tiles);
  address(plan, "pieces", &Plan::pieces);
  address(plan, "spans", &Plan::spans);

  auto pack_params = py::class_<PackParams>(m, "Pack").def(py::init([] { return PackParams(); }));
  pack_params.def_readwrite("batch", &PackParams::batch)
      .def_readwrite("channels", &PackParams::channels)
      .def_readwrite("dtype", &PackParams::dtype)
      .def_readwrite("tokens", &PackParams::tokens)
      .def_readwrite("dot", &PackParams::dot);
  address(pack_params, "order", &PackParams::order);
  list(pack_params, "rows", &PackParams::rows);
  list(pack_params, "scalars", &PackParams::scalars);
  list(pack_params, "scalar_dtype", &PackParams::scalar_dtype);

  using M = ModulationParams;
  auto modulation = py::class_<M>(m, "Modulation").def(py::init([] { return M(); }));
  modulation.def_readwrite("batch", &M::batch)
      .def_readwrite("channels", &M::channels)
      .def_readwrite("pixels", &M::pixels)
      .def_readwrite("dtype", &M::dtype)
      .def_readwrite("channels_last", &M::channels_last)
      .def_readwrite("eps", &M::eps)
      .def_readwrite("negative_slope", &M::negative_slope)
      .def_readwrite("x", &M::x)
      .def_readwrite("pixel_out", &M::pixel_out)
      .def_readwrite("grad_y", &M::grad_y)
      .def_readwrite("position", &M::position)
      .def_readwrite("default_gamma", &M::default_gamma)
      .def_readwrite("default_beta", &M::default_beta)
      .def_readwrite("noise", &M::noise)
      .def_readwrite("tokens", &M::tokens)
      .def_readwrite("plan", &M::plan)
      .def_readwrite("strips", &M::strips)
      .def_readwrite("grad_keys", &M::grad_keys)
      .def_readwrite("grad_key_bias", &M::grad_key_bias)
      .def_readwrite("grad_gamma", &M::grad_gamma)
      .def_readwrite("grad_beta", &M::grad_beta);
  address(modulation, "noise_scale", &M::noise_scale);
  address(modulation, "lse", &M::lse);
  address(modulation, "lse_rest", &M::lse_rest);
  address(modulation, "mean", &M::mean);
  address(modulation, "rstd", &M::rstd);
  address(modulation, "moments", &M::moments);
  address(modulation, "partials", &M::partials);
  address(modulation, "piece_partials", &M::piece_partials);
  address(modulation, "means", &M::means);
  address(modulation, "grad_default_gamma", &M::grad_default_gamma);
  address(modulation, "grad_default_beta", &M::grad_default_beta);
  address(modulation, "grad_noise_scale", &M::grad_noise_scale);

  using A = AttentionParams;
  auto attention = py::class_<A>(m, "Attention").def(py::init([] { return A(); }));
  attention.def_readwrite("batch", &A::batch)
      .def_readwrite("channels", &A::channels)
      .def_readwrite("pixels", &A::pixels)
      .def_readwrite("dtype", &A::dtype)
      .def_readwrite("channels_last", &A::channels_last)
      .def_readwrite("heads", &A::heads)
      .def_readwrite("pixels_read", &A::pixels_read)
      .def_readwrite("scale", &A::scale)
      .def_readwrite("x", &A::x)
      .def_readwrite("z", &A::z)
      .def_readwrite("pixel_out", &A::pixel_out)
      .def_readwrite("grad_z", &A::grad_z)
      .def_readwrite("grad_lse", &A::grad_lse)
      .def_readwrite("tokens", &A::tokens)
      .def_readwrite("plan", &A::plan);
  list(attention, "token_out", &A::token_out);
  address(attention, "lse", &A::lse);
  address(attention, "lse_rest", &A::lse_rest);
  address(attention, "partials", &A::partials);

  m.def("pack", checked<PackParams>(pack));
  m.def("modulation_statistics", checked<M>(modulation_statistics, [](const M& p) {
          check_there("moments", p.moments);
          check_between("strips", p.strips, 1, 65535);
        }));
  m.def("modulation_forward", checked<M>(modulation_forward, [](const M& p) {
          check_there("pixel_out", p.pixel_out.data);
          check_logs(p);
          check_tiles(p.plan);
        }));
  m.def("modulation_backward", checked<M>(modulation_backward, [](const M& p) {
          check_there("grad_y", p.grad_y.data);
          check_there("pixel_out", p.pixel_out.data);
          check_logs(p);
          check_plan(p.plan);
          check_there("piece_partials", p.piece_partials);
          check_there("means", p.means);
          check_between("strips", p.strips, 1, 65535);
        }));
  m.def("pixels_read_forward", checked<A>(pixels_read_forward, [](const A& p) {
          check_tiles(p.plan);
          check_there("pixel_out", p.pixel_out.data);
          check_logs(p);
        }));
  m.def("latents_read_forward", checked<A>(latents_read_forward, [](const A& p) {
          check_wide(p);
          check_logs(p);
        }));
  m.def("attention_backward", checked<A>(attention_backward, [](const A& p) {
          check_wide(p);
          check_there("pixel_out", p.pixel_out.data);
          if (p.pixels_read) check_logs(p);
        }));
}
