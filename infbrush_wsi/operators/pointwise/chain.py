"""Point-wise layers in blocks of points that stay in the processor's cache.

A chain of point-wise layers (norm, modulation, linear, GELU, linear) over 65,536 points spends more time moving its
intermediate results through memory than computing them. Here the whole chain runs on one block of points before the
next block is touched, and only its input is kept for the backward pass, which runs the chain again block by block. On a
GPU, and while `torch.compile` traces, the chain runs on all points at once: there the compiler fuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from infbrush_wsi.operators.pointwise.product import linear_add, linear_gradients

BLOCK_BYTES = 1 << 20
"""Input of one block for each thread; with an MLP's intermediate results about the size of a second-level cache."""

Chain = Callable[..., Tensor]
Piece = tuple[slice, slice]


def blockwise(chain: Chain, x: Tensor, per_image: Sequence[Tensor] = (), shared: Sequence[Tensor] = ()) -> Tensor:
    """``chain(x, *per_image, *shared)``, block by block.

    Args:
        chain: point-wise in its first argument: (k, n, C) → (k, n, D). It must use no tensor but its arguments.
        x: (B, N, C).
        per_image: (B, ...) tensors of which a block gets the rows of its images.
        shared: tensors that every block gets whole.

    Returns:
        (B, N, D), differentiable in all tensors.
    """
    return _run(chain, x, per_image, shared, None, None)


def blockwise_residual(
    chain: Chain, x: Tensor, per_image: Sequence[Tensor], shared: Sequence[Tensor], last: torch.nn.Linear
) -> Tensor:
    """``x + last(chain(x, *per_image, *shared))``, block by block; arguments as in `blockwise`."""
    return _run(chain, x, per_image, shared, last.weight, last.bias)


def _run(
    chain: Chain,
    x: Tensor,
    per_image: Sequence[Tensor],
    shared: Sequence[Tensor],
    weight: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    tensors = (*per_image, *shared)
    if x.device.type != "cpu" or torch.compiler.is_compiling() or x.numel() == 0:
        return _joined(x, chain(x, *tensors), weight, bias)
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *tensors, weight) if t is not None)
    if wanted:
        return _Blockwise.apply(chain, len(per_image), x, weight, bias, *tensors)  # type: ignore[no-any-return,no-untyped-call]
    return _forward(chain, len(per_image), x, weight, bias, tensors)


def _joined(x: Tensor, inner: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is None:
        return inner
    return linear_add(inner, weight, bias, x)


def pieces(x: Tensor, rows: int) -> Iterator[Piece]:
    """Cut (B, N, ...) into blocks of about `rows` points: several whole images, or a part of one."""
    images, points = x.shape[:2]
    if points >= rows:
        for image in range(images):
            for start in range(0, points, rows):
                yield slice(image, image + 1), slice(start, min(start + rows, points))
    else:
        at_once = max(1, rows // max(points, 1))
        for image in range(0, images, at_once):
            yield slice(image, min(image + at_once, images)), slice(0, points)


def block_rows(x: Tensor) -> int:
    """Points of a block for values like `x`."""
    return max(64, BLOCK_BYTES * torch.get_num_threads() // (x.shape[-1] * x.element_size()))


def _arguments(tensors: Sequence[Tensor], per_image: int, images: slice) -> list[Tensor]:
    return [t[images] if i < per_image else t for i, t in enumerate(tensors)]


def _forward(
    chain: Chain, per_image: int, x: Tensor, weight: Tensor | None, bias: Tensor | None, tensors: Sequence[Tensor]
) -> Tensor:
    out = None
    with torch.no_grad():
        for images, points in pieces(x, block_rows(x)):
            part = x[images, points]
            result = _joined(part, chain(part, *_arguments(tensors, per_image, images)), weight, bias)
            if out is None:
                out = result.new_empty(*x.shape[:2], result.shape[-1])
            out[images, points] = result
    assert out is not None  # noqa: S101
    return out


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, chain: Chain, per_image: int, x: Tensor, weight: Tensor | None, bias: Tensor | None, *tensors: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, bias, *tensors)
        ctx.chain, ctx.per_image = chain, per_image
        ctx.autocast = (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))
        return _forward(chain, per_image, x, weight, bias, tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, *tensors = ctx.saved_tensors
        enabled, dtype = ctx.autocast
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            return _Backward(ctx, x, weight, bias, tensors).run(gradients[0])


class _Backward:
    """Runs the chain again on each block and adds up gradients in the order of the blocks."""

    def __init__(
        self, ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, tensors: Sequence[Tensor]
    ) -> None:
        self.chain, self.per_image = ctx.chain, ctx.per_image
        self.x, self.weight, self.bias, self.tensors = x, weight, bias, tensors
        _, _, want_x, want_weight, want_bias, *self.wanted = ctx.needs_input_grad
        self.dx = torch.empty_like(x) if want_x else None
        self.dweight = torch.zeros_like(weight) if weight is not None and want_weight else None
        self.dbias = torch.zeros_like(bias) if bias is not None and want_bias else None
        self.dtensors = [torch.zeros_like(t) if w else None for t, w in zip(tensors, self.wanted, strict=True)]

    def run(self, gradient: Tensor) -> tuple[Tensor | None, ...]:
        for piece in pieces(self.x, block_rows(self.x)):
            self._piece(piece, gradient[piece])
        return None, None, self.dx, self.dweight, self.dbias, *self.dtensors

    def _piece(self, piece: Piece, gradient: Tensor) -> None:
        part = self.x[piece].detach().requires_grad_(self.dx is not None)
        arguments = [
            t.detach().requires_grad_(w)
            for t, w in zip(_arguments(self.tensors, self.per_image, piece[0]), self.wanted, strict=True)
        ]
        with torch.enable_grad():
            inner = self.chain(part, *arguments)
        upstream = gradient if self.weight is None else self._through_last(inner, gradient)
        leaves = [t for t in (part, *arguments) if t.requires_grad]
        found = iter(torch.autograd.grad(inner, leaves, upstream.to(inner.dtype)) if leaves else ())
        if self.dx is not None:
            own = next(found)
            self.dx[piece] = own if self.weight is None else own + gradient
        for i, total in enumerate(self.dtensors):
            if total is not None:
                into = total[piece[0]] if i < self.per_image else total
                into += next(found)

    def _through_last(self, inner: Tensor, gradient: Tensor) -> Tensor:
        """Gradients of the last linear layer; returns the gradient of its input."""
        weight = self.weight
        assert weight is not None  # noqa: S101
        wanted = (True, self.dweight is not None, self.dbias is not None)
        inward, dweight, dbias = linear_gradients(inner.detach(), weight, gradient, wanted)
        if self.dweight is not None and dweight is not None:
            self.dweight += dweight
        if self.dbias is not None and dbias is not None:
            self.dbias += dbias
        assert inward is not None  # noqa: S101
        return inward
