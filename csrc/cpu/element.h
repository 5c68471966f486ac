// SPDX-License-Identifier: Apache-2.0
#pragma once

template <class T>
SCAM_INLINE T* element(const ScaTensor& t, int64_t i, int64_t j = 0, int64_t k = 0) {
  return static_cast<T*>(t.data) + i * t.stride[0] + j * t.stride[1] + k * t.stride[2];
}
