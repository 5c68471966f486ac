// SPDX-License-Identifier: Apache-2.0
// What lanes of a warp do together, and copies. Fragment layouts are written down from the PTX ISA,
// independently of the kernels.
#define SCA_EMULATOR_MAIN
#include <sca_cuda/device.cuh>

namespace sca {

using Lanes = emulator::Slot (&)[emulator::WARP];

void sync_warp() {
  static const char kind = 0;
  emulator::collective(&kind, [](auto&) {}, [](Lanes) {});
}

uint32_t ballot(bool yes) {
  static const char kind = 0;
  const auto deposit = [&](emulator::Slot& mine) { mine.in[0] = yes; };
  const auto compute = [](Lanes lanes) {
    uint32_t bits = 0;
    for (int i = 0; i < emulator::WARP; ++i) bits |= (lanes[i].in[0] ? 1u : 0u) << i;
    for (auto& lane : lanes) lane.out[0] = bits;
  };
  return emulator::collective(&kind, deposit, compute).out[0];
}

uint32_t shuffle_word(uint32_t word, int from) {
  static const char kind = 0;
  const auto deposit = [&](emulator::Slot& mine) {
    mine.in[0] = word;
    mine.in[1] = from;
  };
  const auto compute = [](Lanes lanes) {
    for (auto& lane : lanes) lane.out[0] = lanes[lane.in[1] % emulator::WARP].in[0];
  };
  return emulator::collective(&kind, deposit, compute).out[0];
}

// Numbers of an 8x8 matrix: lane i holds row i / 4, columns 2 * (i % 4) and + 1.
void load_matrices(uint32_t (&r)[4], const void* row, bool transposed) {
  static const char kinds[2] = {0, 0};
  emulator::check_shared(row, 16, 16);
  const auto deposit = [&](emulator::Slot& mine) { std::memcpy(mine.in, &row, sizeof(row)); };
  const auto compute = [=](Lanes lanes) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      uint16_t numbers[8][8];
      for (int i = 0; i < 8; ++i) {
        const void* from;
        std::memcpy(&from, lanes[8 * matrix + i].in, sizeof(from));
        std::memcpy(numbers[i], from, 16);
      }
      for (int i = 0; i < emulator::WARP; ++i) {
        const int a = i / 4, b = 2 * (i % 4);
        const uint32_t low = transposed ? numbers[b][a] : numbers[a][b];
        const uint32_t high = transposed ? numbers[b + 1][a] : numbers[a][b + 1];
        lanes[i].out[matrix] = low | high << 16;
      }
    }
  };
  std::memcpy(r, emulator::collective(&kinds[transposed], deposit, compute).out, sizeof(r));
}

uint32_t transpose(uint32_t word) {
  static const char kind = 0;
  const auto deposit = [&](emulator::Slot& mine) { mine.in[0] = word; };
  const auto compute = [](Lanes lanes) {
    for (int i = 0; i < emulator::WARP; ++i) {
      const auto number = [&](int row, int column) {
        return lanes[4 * row + column / 2].in[0] >> 16 * (column % 2) & 0xffff;
      };
      lanes[i].out[0] = number(2 * (i % 4), i / 4) | number(2 * (i % 4) + 1, i / 4) << 16;
    }
  };
  return emulator::collective(&kind, deposit, compute).out[0];
}

// c (16 x 8) += a (16 x 16) b (16 x 8). PTX ISA: register i of a holds row
// group + 8 * (i % 2), columns 8 * (i / 2) + 2 * quad and + 1; register i of b holds rows
// 8 * i + 2 * quad and + 1 of column group; c[i] is row group + 8 * (i / 2),
// column 2 * quad + i % 2.
void mma16_as(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool fp16) {
  static const char kinds[2] = {0, 0};
  const auto unpack = fp16 ? unpack2<Fp16> : unpack2<Bf16>;
  const auto deposit = [&](emulator::Slot& mine) {
    std::memcpy(mine.in, c, 16);
    std::memcpy(mine.in + 4, a, 16);
    mine.in[8] = b0;
    mine.in[9] = b1;
  };
  const auto compute = [=](Lanes lanes) {
    float left[16][16], right[16][8];
    for (int i = 0; i < emulator::WARP; ++i) {
      const int group = i / 4, quad = i % 4;
      for (int r = 0; r < 4; ++r) {
        const Pair pair = unpack(lanes[i].in[4 + r]);
        left[group + 8 * (r % 2)][8 * (r / 2) + 2 * quad] = pair.low;
        left[group + 8 * (r % 2)][8 * (r / 2) + 2 * quad + 1] = pair.high;
      }
      for (int r = 0; r < 2; ++r) {
        const Pair pair = unpack(lanes[i].in[8 + r]);
        right[8 * r + 2 * quad][group] = pair.low;
        right[8 * r + 2 * quad + 1][group] = pair.high;
      }
    }
    for (int i = 0; i < emulator::WARP; ++i) {
      for (int e = 0; e < 4; ++e) {
        const int row = i / 4 + 8 * (e / 2), column = 2 * (i % 4) + e % 2;
        float sum = 0;
        for (int k = 0; k < 16; ++k) sum += left[row][k] * right[k][column];
        lanes[i].out[e] = bit_cast<uint32_t>(bit_cast<float>(lanes[i].in[e]) + sum);
      }
    }
  };
  std::memcpy(c, emulator::collective(&kinds[fp16], deposit, compute).out, 16);
}

static void arrive(const emulator::Copy& copy) {
  if (copy.from) {
    std::memcpy(copy.to, copy.from, 16);
  } else {
    std::memset(copy.to, 0, 16);
  }
}

// What is copied arrives at once, or as late as it may: when it is waited for.
void copy_async(void* shared, const void* global, bool valid) {
  emulator::check_shared(shared, 16, 16);
  if (valid && reinterpret_cast<uintptr_t>(global) % 16) emulator::fail("copy_async: misaligned");
  const emulator::Copy copy = {static_cast<char*>(shared), valid ? global : nullptr};
  if (emulator::early_copies) {
    arrive(copy);
  } else {
    emulator::block->fibres[emulator::block->current].open.push_back(copy);
  }
}

void commit_copies() {
  auto& fibre = emulator::block->fibres[emulator::block->current];
  fibre.groups.push_back(std::move(fibre.open));
  fibre.open.clear();
}

void wait_copies_but(size_t pending) {
  auto& groups = emulator::block->fibres[emulator::block->current].groups;
  while (groups.size() > pending) {
    for (const auto& copy : groups.front()) arrive(copy);
    groups.erase(groups.begin());
  }
}

}  // namespace sca

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED void sca_emulator_order(int order) {
  emulator::order_of_fibres = order;
}

EXPORTED void sca_emulator_copies(bool early) {
  emulator::early_copies = early;
}

EXPORTED void sca_emulator_shared(int kilobytes) {
  emulator::shared_limit = 1024 * static_cast<size_t>(kilobytes);
}

EXPORTED void sca_emulator_record(bool on) {
  emulator::recording = on;
  emulator::launches.clear();
}

// How many launches were noted, the first `most` of them in `found`.
EXPORTED size_t sca_emulator_launches(emulator::Launch* found, size_t most) {
  const auto& all = emulator::launches;
  std::copy_n(all.begin(), std::min(most, all.size()), found);
  return all.size();
}
