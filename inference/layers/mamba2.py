"""Mamba-2 mixer: chunked scan for whole sequences, one recurrent step for decoding.

Owns the causal convolution and the state-space recurrence. Knows nothing about which request a
slot belongs to. Weight names are the ones NemotronH checkpoints carry.

Source: Dao and Gu, "Transformers are SSMs" (arXiv 2405.21060), section 6, the chunked algorithm.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.kernels import cpu
from inference.kernels.mamba import MambaKernels, Recurrence
from inference.layers.norm import GatedRMSNorm
from inference.models.config import NemotronHConfig

# exp(-60) is below float32's resolution beside any live state, yet small enough that the
# differences of cumulative sums around it stay exact to about 1e-5.
_FORGET = -60.0
_CHUNK_STEP = 16


@dataclass
class MambaState:
    """Recurrent memory of one layer: `conv` (slots, channels, kernel - 1), `ssm` float32
    (slots, heads, head_dim, state)."""

    conv: Tensor
    ssm: Tensor


def segment_starts(segments: Tensor) -> Tensor:
    """True where a token opens a new segment. segments: (batch, seq) -> (batch, seq) bool."""
    starts = torch.ones_like(segments, dtype=torch.bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return starts


def causal_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, history: Tensor | None, segments: Tensor | None
) -> Tensor:
    """Convolve each channel with its own past.

    x: (batch, seq, channels); weight: (channels, kernel); history: (batch, kernel - 1, channels)
    or None for silence; with `segments`, taps that reach into another segment read silence.
    """
    batch, length, channels = x.shape
    kernel = weight.shape[-1]
    before = x.new_zeros(batch, kernel - 1, channels) if history is None else history.to(x.dtype)
    padded = torch.cat([before, x], 1)
    out = x * weight[:, -1]
    for back in range(1, kernel):
        tap = padded[:, kernel - 1 - back : kernel - 1 - back + length]
        if segments is not None:
            same = torch.zeros_like(segments, dtype=torch.bool)
            same[:, back:] = segments[:, back:] == segments[:, :-back]
            tap = tap * same[..., None]
        out = out + tap * weight[:, -1 - back]
    return out if bias is None else out + bias


def scan_chunked(
    x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, chunk: int, initial: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Run h_t = exp(log_decay_t) h_{t-1} + x_t b_t^T, y_t = h_t c_t, in chunks of matrix products.

    x: (batch, seq, heads, head_dim), already scaled by dt; log_decay: (batch, seq, heads), <= 0;
    b, c: (batch, seq, groups, state); initial: (batch, heads, head_dim, state) or None for zero.
    All float32. Returns y like x and the final state. Law: the result does not depend on `chunk`,
    and two calls chained through the state equal one call on the whole.
    """
    batch, length, heads, head_dim = x.shape
    groups, state = b.shape[2:]
    pad = -length % chunk
    if pad:
        # A padded step has no input and no decay, so it carries the state through unchanged.
        x, b, c = (functional.pad(t, (0, 0, 0, 0, 0, pad)) for t in (x, b, c))
        log_decay = functional.pad(log_decay, (0, 0, 0, pad))
    count = (length + pad) // chunk
    x = x.reshape(batch, count, chunk, heads, head_dim)
    a = log_decay.reshape(batch, count, chunk, heads).permute(0, 3, 1, 2)
    b = b.reshape(batch, count, chunk, groups, state)
    c = c.reshape(batch, count, chunk, groups, state)
    a_sum = a.cumsum(-1)
    within = _decay_within(a_sum)
    scores = torch.einsum("bclgn,bcsgn->bgcls", c, b).repeat_interleave(heads // groups, 1)
    y = torch.einsum("bhcls,bcshp->bclhp", scores * within, x)
    b_heads = b.repeat_interleave(heads // groups, 3)
    c_heads = c.repeat_interleave(heads // groups, 3)
    to_end = (a_sum[..., -1:] - a_sum).exp()
    added = torch.einsum("bcshn,bhcs,bcshp->bchpn", b_heads, to_end, x).float()
    carried = x.new_zeros(batch, heads, head_dim, state) if initial is None else initial.float()
    entering = []
    for index in range(count):
        entering.append(carried)
        carried = carried * a_sum[:, :, index, -1].exp()[..., None, None] + added[:, index]
    if count > 1 or initial is not None:
        arriving = torch.stack(entering, 1)
        y = y + torch.einsum("bclhn,bchpn,bhcl->bclhp", c_heads, arriving, a_sum.exp())
    return y.reshape(batch, count * chunk, heads, head_dim)[:, :length], carried


def _decay_within(a_sum: Tensor) -> Tensor:
    """exp of the decay from step s to step l, zero above the diagonal. (..., l) -> (..., l, s)."""
    size = a_sum.shape[-1]
    past = torch.ones(size, size, dtype=torch.bool, device=a_sum.device).tril()
    difference = a_sum[..., :, None] - a_sum[..., None, :]
    return difference.masked_fill(~past, float("-inf")).exp()


class Mamba2(nn.Module):
    """Selective state-space layer with a gate. Input and output: (..., hidden)."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.config = config
        self.fused = False
        self.kernels: MambaKernels | None = None
        inner, channels = config.mamba_inner_size, config.conv_channels
        heads = config.mamba_num_heads
        self.in_proj = nn.Linear(config.hidden_size, inner + channels + heads, bias=False)
        self.conv1d = nn.Conv1d(
            channels,
            channels,
            config.conv_kernel,
            groups=channels,
            padding=config.conv_kernel - 1,
            bias=config.use_conv_bias,
        )
        self.dt_bias = nn.Parameter(torch.ones(heads))
        self.A_log = nn.Parameter(torch.zeros(heads))
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = GatedRMSNorm(inner, config.n_groups, config.norm_eps)
        self.out_proj = nn.Linear(inner, config.hidden_size, bias=False)

    def new_state(self, slots: int, dtype: torch.dtype, device: torch.device) -> MambaState:
        """Make silent memory for `slots` sequences; the state-space part is always float32."""
        config = self.config
        conv = (slots, config.conv_channels, config.conv_kernel - 1)
        ssm = (slots, config.mamba_num_heads, config.mamba_head_dim, config.ssm_state_size)
        return MambaState(
            torch.zeros(conv, dtype=dtype, device=device),
            torch.zeros(ssm, dtype=torch.float32, device=device),
        )

    def fuse(self) -> None:
        """Compute in the CPU's own kernels from now on; they must be loaded."""
        self.fused = cpu.state_width_fits(self.config.ssm_state_size)

    def forward(self, x: Tensor, segments: Tensor | None = None) -> Tensor:
        """Mix whole sequences. x: (batch, seq, hidden); segments: (batch, seq) or None."""
        gate, xbc, dt = self._project(x)
        mixed = causal_conv(xbc, self._taps(), self.conv1d.bias, None, segments)
        return self._scan(x, gate, mixed, dt, None, segments)[0]

    def prefill(
        self, x: Tensor, state: MambaState, slots: Tensor, fresh: Tensor, lengths: Tensor
    ) -> Tensor:
        """Continue several sequences, each over its piece; the state is updated in place.

        x: (rows, piece, hidden), of which the first `lengths` (rows,) are real and the rest
        padding that leaves no trace; slots: (rows,); rows that are `fresh` (rows,) bool begin in
        silence.
        """
        gate, xbc, dt = self._project(x)
        if self.fused and state.conv.dtype == xbc.dtype:
            y = self._fused(xbc, dt, state, slots, lengths, fresh)
            return self._out(y, gate, x.dtype)
        if self.kernels is not None and xbc.is_cuda:
            y = self.read_in(self.kernels, xbc, dt, state, slots, lengths, fresh)
            return self._out(y, gate, x.dtype)
        known = ~fresh[:, None, None]
        history = (state.conv[slots] * known).transpose(1, 2).to(xbc.dtype)
        mixed = causal_conv(xbc, self._taps(), self.conv1d.bias, history, None)
        initial = state.ssm[slots] * known[..., None]
        valid = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        out, last = self._scan(x, gate, mixed, dt, initial, None, valid)
        self._remember(history, xbc, state, slots, lengths)
        state.ssm[slots] = last
        return out

    def decode(self, x: Tensor, state: MambaState, slots: Tensor) -> Tensor:
        """Advance each slot by one token. x: (batch, hidden); slots: (batch,) int64."""
        config = self.config
        gate, xbc, dt = self._project(x)
        if self.fused and state.conv.dtype == xbc.dtype:
            once, fresh_rows = torch.ones_like(slots), torch.zeros_like(slots, dtype=torch.bool)
            y = self._fused(xbc[:, None], dt[:, None], state, slots, once, fresh_rows)
            return self._out(y[:, 0], gate, x.dtype)
        if self.kernels is not None and xbc.is_cuda:
            return self._out(self.step_in(self.kernels, xbc, dt, state, slots), gate, x.dtype)
        u, b, c = self._split(functional.silu(self._hear(xbc, state, slots)).float())
        step = self._step_size(dt)
        per_group = config.mamba_num_heads // config.n_groups
        b = b.repeat_interleave(per_group, -2)[:, :, None, :]
        c = c.repeat_interleave(per_group, -2)[:, :, None, :]
        decay = (step * -self.A_log.float().exp()).exp()[..., None, None]
        fresh = state.ssm[slots] * decay + (step[..., None] * u)[..., None] * b
        state.ssm[slots] = fresh
        if torch.compiler.is_compiling():
            # Fused into the pass that writes the state; uncompiled, it would be one more pass.
            y = (fresh * c).sum(-1)
        else:
            y = torch.matmul(fresh, c.transpose(-1, -2))[..., 0]
        y = y + self.D.float()[:, None] * u
        return self._out(y.flatten(-2), gate, x.dtype)

    def read_in(
        self,
        kernels: MambaKernels,
        xbc: Tensor,
        dt: Tensor,
        state: MambaState,
        slots: Tensor,
        lengths: Tensor,
        fresh: Tensor,
    ) -> Tensor:
        """Convolve and scan pieces in CUDA kernels; sizes as for `_fused`. (rows, piece, inner)."""
        known = ~fresh[:, None, None]
        history = (state.conv[slots] * known).transpose(1, 2).to(xbc.dtype)
        bias, taps = self.conv1d.bias, self._taps()
        if kernels.convolves(xbc, taps, state.conv):
            mixed = kernels.convolve(xbc, taps, bias, history)
        else:
            mixed = functional.silu(causal_conv(xbc, taps, bias, history, None))
        u, b, c = self._split(mixed)
        valid = torch.arange(xbc.shape[1], device=xbc.device) < lengths[:, None]
        initial = state.ssm[slots] * known[..., None]
        y, last = kernels.scan(
            u, dt, b, c, self._recurrence(), initial, valid, self.config.chunk_size
        )
        self._remember(history, xbc, state, slots, lengths)
        state.ssm[slots] = last.to(state.ssm.dtype)
        return y.flatten(-2)

    def step_in(
        self, kernels: MambaKernels, xbc: Tensor, dt: Tensor, state: MambaState, slots: Tensor
    ) -> Tensor:
        """Advance by one token in CUDA kernels. xbc: (rows, channels) -> (rows, inner)."""
        bias, taps = self.conv1d.bias, self._taps()
        if kernels.convolves(xbc, taps, state.conv):
            mixed = kernels.convolve_step(xbc, taps, bias, state.conv, slots)
        else:
            mixed = functional.silu(self._hear(xbc, state, slots))
        u, b, c = self._split(mixed)
        return kernels.advance(u, dt, b, c, self._recurrence(), state.ssm, slots).flatten(-2)

    def _recurrence(self) -> Recurrence:
        rate = -self.A_log.float().exp()
        return Recurrence(rate, self.D.float(), self.dt_bias.float(), self.config.time_step_limit)

    def _hear(self, xbc: Tensor, state: MambaState, slots: Tensor) -> Tensor:
        """Convolve one token a row with the columns before it, which move on."""
        window = torch.cat([state.conv[slots].to(xbc.dtype), xbc[..., None]], -1)
        state.conv[slots] = window[..., 1:].to(state.conv.dtype)
        mixed = (window * self._taps()).sum(-1)
        return mixed if self.conv1d.bias is None else mixed + self.conv1d.bias

    def _remember(
        self, history: Tensor, xbc: Tensor, state: MambaState, slots: Tensor, lengths: Tensor
    ) -> None:
        """Keep each row's last columns that are real. history: (rows, kernel - 1, channels)."""
        taps = torch.arange(self.config.conv_kernel - 1, device=xbc.device) + lengths[:, None]
        heard = torch.cat([history, xbc], 1)
        tail = heard.gather(1, taps[..., None].expand(-1, -1, heard.shape[-1]))
        state.conv[slots] = tail.transpose(1, 2).to(state.conv.dtype)

    def _fused(
        self,
        xbc: Tensor,
        dt: Tensor,
        state: MambaState,
        slots: Tensor,
        lengths: Tensor,
        fresh: Tensor,
    ) -> Tensor:
        """Convolve and scan in one pass each, the state updated where it lies.

        xbc: (rows, piece, channels); dt: (rows, piece, heads). Returns (rows, piece, inner),
        float32. Slot 0 is read as silence and never written.
        """
        mixed = torch.empty(xbc.shape, dtype=torch.float32, device=xbc.device)
        bias = self.conv1d.bias
        torch.ops.lictor.conv(
            xbc,
            self._taps().float().t().contiguous(),
            mixed.new_zeros(xbc.shape[-1]) if bias is None else bias.float(),
            state.conv,
            slots,
            lengths,
            fresh,
            mixed,
        )
        inner = self.config.mamba_inner_size
        y = torch.empty((*xbc.shape[:2], inner), dtype=torch.float32, device=xbc.device)
        step, rate = self._step_size(dt).contiguous(), -self.A_log.float().exp()
        torch.ops.lictor.scan(
            mixed, step, rate, self.D.float(), state.ssm, slots, lengths, fresh, y
        )
        return y

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        sizes = [config.mamba_inner_size, config.conv_channels, config.mamba_num_heads]
        gate, xbc, dt = self.in_proj(x).split(sizes, -1)
        return gate, xbc, dt

    def _taps(self) -> Tensor:
        return self.conv1d.weight[:, 0]

    def _split(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., channels) -> x (..., heads, head_dim), b and c (..., groups, state)."""
        config = self.config
        bc = config.n_groups * config.ssm_state_size
        u, b, c = mixed.split([config.mamba_inner_size, bc, bc], -1)
        return (
            u.unflatten(-1, (config.mamba_num_heads, config.mamba_head_dim)),
            b.unflatten(-1, (config.n_groups, config.ssm_state_size)),
            c.unflatten(-1, (config.n_groups, config.ssm_state_size)),
        )

    def _step_size(self, dt: Tensor) -> Tensor:
        step = functional.softplus(dt.float() + self.dt_bias.float())
        low, high = self.config.time_step_limit
        return step if (low, high) == (0.0, float("inf")) else step.clamp(low, high)

    def _scan(
        self,
        x: Tensor,
        gate: Tensor,
        mixed: Tensor,
        dt: Tensor,
        initial: Tensor | None,
        segments: Tensor | None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        u, b, c = self._split(functional.silu(mixed).float())
        step = self._step_size(dt)
        if valid is not None:
            # No time passes at padding: nothing is added and nothing forgotten.
            step = step * valid[..., None]
        log_decay = step * -self.A_log.float().exp()
        if segments is not None:
            log_decay = torch.where(segment_starts(segments)[..., None], _FORGET, log_decay)
        # A short piece needs no whole chunk: work grows with the chunk's square.
        chunk = min(self.config.chunk_size, -(-x.shape[1] // _CHUNK_STEP) * _CHUNK_STEP)
        y, last = scan_chunked(u * step[..., None], log_decay, b, c, chunk, initial)
        y = y + self.D.float()[:, None] * u
        return self._out(y.flatten(-2), gate, x.dtype), last

    def _out(self, y: Tensor, gate: Tensor, dtype: torch.dtype) -> Tensor:
        out: Tensor = self.out_proj(self.norm(y, gate).to(dtype))
        return out
