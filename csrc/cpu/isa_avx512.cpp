// SPDX-License-Identifier: Apache-2.0
// The target is set here and not by compiler flags, so that any build system will do and system
// headers, included before, stay plain.
#include <stdlib.h>
#include <string.h>

#include "affine/job.h"
#include "attention/job.h"
#include "modulation/job.h"

#define SCAM_ISA avx512
#define SCAM_VECTOR_BYTES 64

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,prfchw"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,prfchw")
#endif

#include "isa.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
