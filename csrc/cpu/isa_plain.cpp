// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "affine/job.h"
#include "attention/job.h"
#include "modulation/job.h"

#define SCAM_ISA plain
#define SCAM_VECTOR_BYTES 16

#include "isa.h"

