// SPDX-License-Identifier: Apache-2.0
// All kernels for one instruction set: included once by each isa_*.cpp, which sets the compiler's
// target, SCAM_ISA and SCAM_VECTOR_BYTES. Everything but kernels_<isa>() has internal linkage, and
// nothing of std:: is used: the linker must never merge code of different instruction sets.
#define SCAM_JOIN(a, b) a##b
#define SCAM_EXPAND(a, b) SCAM_JOIN(a, b)

namespace scam {
namespace {

#include "vec.h"
#include "element.h"
#include "workspace.h"

}  // namespace
}  // namespace scam

#include "attention/kernels.h"
#include "modulation/kernels.h"
#include "affine/kernels.h"
