// SPDX-License-Identifier: Apache-2.0
// Pixels read latents, forward: out_i = sum_j P_ij value_j over the latents of the pixel's label.
#pragma once

#include <sca_cuda/visibility.cuh>

namespace sca {

// grid: tiles of threads / 2 pixels, batch * heads.
template <class T, bool last>
SCA_KERNEL(128, 4) pixels_read(SCA_PARAMS(AttentionParams) p) {
  const int pixels = threads() / 2, warp = thread() >> 5;
  const int first = block_x() * pixels, warp_first = first + 16 * warp;
  const int64_t batch = block_y() / p.heads;
  const int head = block_y() % p.heads, token_head = head / (p.heads / p.tokens.heads);
  const Tile<T, last> x(shared_memory(), pixels, p.channels);
  fill(x, p.x, batch, head, pixels, p.channels, first, p.pixels);
  commit_copies();

  const int mine = warp_first + (thread() & 15);
  Range range = {0, 0};
  if (mine < p.pixels) range = tokens_of(p.tokens, batch, label_at(p.labels, batch, mine));
  Visibility<T, last> visible(p.tokens, p.channels, p.scale, x, x, false, batch, 16 * warp,
                              token_head, token_head + 1);
  visible.set_logs(p, batch * p.heads + head, warp_first);
  visible.set_range(range);
  wait_copies<0>();
  visible.single = !any_of_block(!visible.single);

  visible.attend();
  for (int c = 0; c < p.channels; c += 16) {
    Block out = no_block();
    visible.for_each([&](const Unit& unit, uint32_t members) {
      float w[4];
      visible.probabilities(w, unit);
      mix<T, last>(out, split_weights<T>(w), Rows<T>(p.tokens, batch, unit, 1, p.channels), c,
                   members);
    });
    if (visible.single) {
      x.set_block(16 * warp, c, out);
    } else {
      store_block<T, last>(out, p.pixel_out, batch, head, c, [&](int i) {
        return warp_first + i < p.pixels ? warp_first + i : -1;
      });
    }
  }
  if (!visible.single) return;
  sync_block();
  drain(x, p.pixel_out, batch, head, pixels, p.channels, first, p.pixels);
}

}  // namespace sca
