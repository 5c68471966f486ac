# SPDX-License-Identifier: Apache-2.0
import copy

import pytest
import torch
from torch import nn

from scam.training.averaging import Average


def network(dtype=torch.float32):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 5), nn.Linear(5, 5))
    net[3].weight = net[2].weight
    return net.to(dtype)


@torch.no_grad()
def move(net):
    for parameter in net.parameters():
        parameter.add_(torch.randn_like(parameter))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module(torch.randn(8, module.num_features, dtype=module.weight.dtype))


def snapshot(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype, name
        assert torch.equal(tensor, right[name]), name


def test_averages_by_hand():
    net = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(net.weight)
    average = Average(net, decay=0.5)
    expected = 0.0
    for t in range(20):
        nn.init.constant_(net.weight, t + 1)
        average.update()
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * (t + 1)
        assert average.module.weight.item() == pytest.approx(expected, abs=1e-12)
    assert average.t == 20


def test_shared_weights_are_averaged_once_and_buffers_are_copied():
    net = network()
    start = snapshot(net)
    average = Average(net)
    assert_same(snapshot(average.module), start)
    move(net)
    average.update()
    state = snapshot(average.module)
    assert state.keys() == net.state_dict().keys()
    for name in ("0.weight", "2.weight", "3.weight", "1.bias"):
        expected = 0.1 * start[name] + 0.9 * net.state_dict()[name]
        torch.testing.assert_close(state[name], expected)
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert torch.equal(state[name], net.state_dict()[name])
        assert not torch.equal(state[name], start[name])


def test_an_assigned_buffer_is_followed():
    net = nn.BatchNorm1d(2)
    average = Average(net)
    net.running_mean = torch.tensor([3.0, 4.0])
    average.update()
    assert average.module.running_mean.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_copy_is_a_module_of_its_own(dtype):
    net = network(dtype).train()
    average = Average(net)
    move(net)
    average.update()
    own = snapshot(net)
    with torch.no_grad():
        for tensor in average.module.state_dict().values():
            tensor.zero_()
    average.module.zero_grad()
    assert_same(snapshot(net), own)
    assert net.training
    assert not average.module.training
    assert not any(x.requires_grad for x in average.state_dict()["tensors"].values())


def test_resuming_gives_the_same_bits():
    net = network()
    average = Average(net)
    for _ in range(5):
        move(net)
        average.update()
    state, other = copy.deepcopy(average.state_dict()), copy.deepcopy(net)
    resumed = Average(other)
    resumed.load_state_dict(state)
    assert resumed.t == 5
    for one in (net, other):
        torch.manual_seed(1)
        move(one)
        (average if one is net else resumed).update()
    assert_same(snapshot(resumed.module), snapshot(average.module))


def test_a_decay_out_of_range():
    for decay in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"got {decay}"):
            Average(nn.Linear(2, 2), decay)


def test_a_compiled_module_is_copied_uncompiled():
    net = nn.Linear(2, 2)
    net.compile(backend="aot_eager")
    assert Average(net).module._compiled_call_impl is None
