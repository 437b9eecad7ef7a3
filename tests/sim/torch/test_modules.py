"""Modules with backward, optimisers, mixed precision and checkpoints on the simulated device, against the CPU."""

import copy
import io

import pytest
import torch
from torch import nn

from cases.device import on_device

MODULES = {
    "linear": (lambda: nn.Linear(8, 5), lambda: torch.randn(3, 8)),
    "layer_norm": (lambda: nn.LayerNorm(8), lambda: torch.randn(3, 8)),
    "embedding": (lambda: nn.Embedding(10, 4), lambda: torch.randint(0, 10, (3, 5))),
    "lstm": (lambda: nn.LSTM(4, 6, 2, batch_first=True), lambda: torch.randn(2, 5, 4)),
    "gru": (lambda: nn.GRU(4, 6), lambda: torch.randn(5, 2, 4)),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True),
        lambda: torch.randn(2, 5, 16),
    ),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2), nn.ConvTranspose2d(4, 2, 2)
        ),
        lambda: torch.randn(2, 3, 8, 8),
    ),
}  # fmt: skip


def close(found, expected):
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODULES)
@on_device
def test_forward_and_backward(name):
    torch.manual_seed(0)
    make, draw = MODULES[name]
    on_cpu, x = make(), draw()
    on_npu = copy.deepcopy(on_cpu).npu()
    results = []
    for module, data in ((on_cpu, x.clone()), (on_npu, x.npu())):
        if data.is_floating_point():
            data.requires_grad_()
        out = module(data)
        out = out[0] if isinstance(out, tuple) else out
        out.square().sum().backward()
        gradients = [tensor.grad for tensor in (*module.parameters(), data) if tensor.requires_grad]
        results.append([out.detach(), *gradients])
    for expected, found in zip(*results, strict=True):
        assert found.device.type == "npu"
        close(found, expected)


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("optimiser", ["SGD", "Adam", "AdamW"])
@on_device
def test_optimisers(optimiser, options):
    torch.manual_seed(0)
    models = [nn.Linear(4, 3)]
    models.append(copy.deepcopy(models[0]).npu())
    x = torch.randn(5, 4)
    for model, data, chosen in zip(models, (x, x.npu()), ({}, options)):
        step = getattr(torch.optim, optimiser)(model.parameters(), lr=0.1, **chosen)
        for _ in range(3):
            step.zero_grad()
            model(data).square().mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            step.step()
    close(models[1].weight.detach(), models[0].weight.detach())


@on_device
def test_training_lowers_the_loss():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(10, 16), nn.Dropout(0.1), nn.LayerNorm(16), nn.Linear(16, 3)).npu()
    step = torch.optim.Adam(model.parameters(), lr=0.05)
    ids, labels = torch.randint(0, 10, (64,), device="npu"), torch.randint(0, 3, (64,), device="npu")
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(model(ids), labels)
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@on_device
def test_autocast_and_scaler():
    model = nn.Linear(4, 4).npu()
    step = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("npu", init_scale=4.0)
    before = model.weight.detach().clone()
    with torch.autocast("npu", dtype=torch.float16):
        out = model(torch.randn(2, 4, device="npu"))
    assert out.dtype == torch.float16
    scaler.scale(out.float().sum()).backward()
    scaler.step(step)
    scaler.update()
    assert not torch.equal(model.weight, before)


@on_device
def test_save_and_load():
    model = nn.Linear(3, 3).npu()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    for location, device in ((None, "npu"), ("cpu", "cpu")):
        file.seek(0)
        weight = torch.load(file, map_location=location)["weight"]
        assert weight.device.type == device
        assert torch.equal(weight.cpu(), model.weight.cpu())


@on_device
def test_inference_mode():
    with torch.inference_mode():
        for name in ("lstm", "transformer"):
            make, draw = MODULES[name]
            module, x = make().eval(), draw()
            expected, found = module(x), copy.deepcopy(module).npu()(x.npu())
            close(found[0], expected[0])


@on_device
def test_packed_sequences():
    lstm = nn.LSTM(4, 6, batch_first=True)
    x = torch.randn(2, 5, 4)
    packed = [nn.utils.rnn.pack_padded_sequence(data, torch.tensor([5, 3]), batch_first=True) for data in (x, x.npu())]
    expected = lstm(packed[0])[0].data
    close(lstm.npu()(packed[1])[0].data, expected)


@on_device
def test_attention_falls_back():
    q, k, v = torch.randn(3, 1, 2, 8, 16).unbind()
    found = nn.functional.scaled_dot_product_attention(q.npu(), k.npu(), v.npu(), is_causal=True)
    close(found, nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True))
