# SPDX-License-Identifier: Apache-2.0
import copy

import pytest
import torch
from scam.training.ema import Ema
from torch import nn


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


def average(ema):
    with ema.applied() as net:
        return snapshot(net)


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype, name
        assert torch.equal(tensor, right[name]), name


def test_averages_by_hand():
    net = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(net.weight)
    ema = Ema(net, decay=0.5)
    expected = 0.0
    for t in range(20):
        nn.init.constant_(net.weight, t + 1)
        ema.update()
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * (t + 1)
        assert average(ema)["weight"].item() == pytest.approx(expected, abs=1e-12)
    assert ema.t == 20


def test_shared_weights_are_averaged_once_and_buffers_are_copied():
    net = network()
    start = snapshot(net)
    ema = Ema(net)
    assert_same(average(ema), start)
    move(net)
    ema.update()
    state = average(ema)
    assert state.keys() == net.state_dict().keys()
    for name in ("0.weight", "2.weight", "3.weight", "1.bias"):
        expected = 0.1 * start[name] + 0.9 * net.state_dict()[name]
        torch.testing.assert_close(state[name], expected)
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert torch.equal(state[name], net.state_dict()[name])
        assert not torch.equal(state[name], start[name])


def test_an_assigned_buffer_is_followed():
    net = nn.BatchNorm1d(2)
    ema = Ema(net)
    net.running_mean = torch.tensor([3.0, 4.0])
    ema.update()
    assert average(ema)["running_mean"].tolist() == [3.0, 4.0]
    with ema.applied():
        pass
    assert net.running_mean.tolist() == [3.0, 4.0]


def test_bf16_weights_are_averaged_in_fp32():
    net = nn.Linear(1, 1, bias=False).bfloat16()
    nn.init.constant_(net.weight, 1.0)
    ema = Ema(net, decay=0.999)
    ema.t = 100_000
    nn.init.constant_(net.weight, 2.0)
    for _ in range(3):
        ema.update()
    averaged = ema.state_dict()["tensors"]["weight"]
    assert averaged.dtype == torch.float32
    assert averaged.item() == pytest.approx(2 - 0.999**3, abs=1e-6)
    assert average(ema)["weight"].dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_applied_swaps_in_and_out_to_the_bit(dtype):
    net = network(dtype)
    ema = Ema(net)
    for _ in range(3):
        move(net)
        ema.update()
    move(net)
    own, averaged = snapshot(net), average(ema)
    pointers = [p.data_ptr() for p in net.parameters()]
    with ema.applied() as same:
        assert same is net
        assert_same(snapshot(net), averaged)
    assert_same(snapshot(net), own)
    assert pointers == [p.data_ptr() for p in net.parameters()]
    with pytest.raises(ZeroDivisionError), ema.applied():
        raise ZeroDivisionError
    assert_same(snapshot(net), own)
    assert_same(average(ema), averaged)


def test_gradients_and_the_optimizer_survive():
    net = network()
    ema = Ema(net)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.randn(4, 3)).sum().backward()
    with ema.applied():
        pass
    optimizer.step()
    ema.update()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert not any(tensor.requires_grad for tensor in ema.state_dict()["tensors"].values())


def test_resuming_gives_the_same_bits():
    net = network()
    ema = Ema(net)
    for _ in range(5):
        move(net)
        ema.update()
    state, other = copy.deepcopy(ema.state_dict()), copy.deepcopy(net)
    resumed = Ema(other)
    resumed.load_state_dict(state)
    assert resumed.t == 5
    for one in (net, other):
        torch.manual_seed(1)
        move(one)
        (ema if one is net else resumed).update()
    assert_same(average(resumed), average(ema))


def test_a_state_of_another_model_is_refused():
    state = Ema(nn.Linear(2, 2)).state_dict()
    with pytest.raises(ValueError, match=r"another model: only one has bias"):
        Ema(nn.Linear(2, 2, bias=False)).load_state_dict(state)
    with pytest.raises(ValueError, match=r"weight has shape \(2, 2\), expected \(2, 3\)"):
        Ema(nn.Linear(3, 2)).load_state_dict(state)
    for decay in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"got {decay}"):
            Ema(nn.Linear(2, 2), decay)


def test_a_module_without_weights_or_buffers():
    ema = Ema(nn.ReLU())
    ema.update()
    assert average(ema) == {}
