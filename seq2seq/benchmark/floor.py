"""The floor that the machine sets: what training would cost if it were nothing but large matrix products."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from seq2seq.data.batch import Batch
from seq2seq.evaluation.members import predict
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.runtime import DTYPES, Runtime

SECONDS = 0.05  # that a rate is measured for
OWN = 3  # shapes of the model's


class Floor:
    """Target tokens a second that a model's operations would allow at the rate of this machine's matrix products.

    The operations are those of one forward and backward pass over a batch by torch's counter, which knows products and
    nothing else: element-wise work, softmax and the optimizer are what a floor leaves out. The rate is the better one
    of a large square product and of the model's largest own ones, over all tokens of a batch at once.
    """

    def __init__(self, model: Seq2Seq, batch: Batch, runtime: Runtime, square: int) -> None:
        self.runtime = runtime
        self.flops_per_token = _flops(model, batch, runtime) / batch.target_tokens
        self.square = [_Product(square, square, square, runtime)]
        shapes = own_shapes(model)
        self.own = [_Product(batch.target_tokens, inputs, outputs, runtime) for outputs, inputs in shapes]

    def sample(self) -> dict[str, float]:
        """Measured now: GFLOP/s of both kinds of products, and target tokens a second at the better one."""
        square, own = self._rate(self.square), self._rate(self.own)
        return {
            "square_gflops": square / 1e9,
            "own_gflops": own / 1e9,
            "floor_tokens_per_second": max(square, own) / self.flops_per_token,
        }

    def _rate(self, products: list[_Product]) -> float:
        """Operations a second over all of them, once each."""
        return sum(p.flops for p in products) / sum(_seconds(p, self.runtime) for p in products)


class _Product:
    """(rows, inputs) x (inputs, outputs) in the runtime's precision."""

    def __init__(self, rows: int, inputs: int, outputs: int, runtime: Runtime) -> None:
        dtype = DTYPES.get(runtime.precision, torch.float32)
        generator = torch.Generator().manual_seed(0)
        self.left = torch.randn(rows, inputs, generator=generator).to(runtime.device, dtype)
        self.right = torch.randn(outputs, inputs, generator=generator).to(runtime.device, dtype)
        self.out = torch.empty(rows, outputs, device=runtime.device, dtype=dtype)
        self.flops = 2 * rows * inputs * outputs

    def __call__(self) -> None:
        torch.mm(self.left, self.right.t(), out=self.out)


def own_shapes(model: Seq2Seq) -> list[tuple[int, int]]:
    """(outputs, inputs) of the model's largest matrices, those aside that are only looked up in."""
    looked_up = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    looked_up.discard(id(model.output.weight))  # a tied one is a product too
    shapes = {(p.shape[0], p.shape[1]) for p in model.parameters() if p.dim() == 2 and id(p) not in looked_up}
    return sorted(shapes, key=math.prod, reverse=True)[:OWN]


def _seconds(product: Callable[[], None], runtime: Runtime) -> float:
    """Of one product, the mean over SECONDS."""
    product()
    runtime.synchronize()
    start, count, batch = time.perf_counter(), 0, 1
    while (spent := time.perf_counter() - start) < SECONDS:
        for _ in range(batch):
            product()
        runtime.synchronize()
        count, batch = count + batch, 2 * batch  # so that a GPU is seldom waited for
    return spent / count


def _flops(model: Seq2Seq, batch: Batch, runtime: Runtime) -> int:
    """Counted on the CPU without oneDNN, whose fused RNN the counter can't look into."""
    model.to("cpu").train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of TF32 on Intel GPUs whenever these flags are set
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            logits, _ = predict(model, batch)
            logits.sum().backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)
    model.to(runtime.device)
    return int(counter.get_total_flops())
