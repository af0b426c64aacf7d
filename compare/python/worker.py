"""The training step of a sparse autoencoder in PyTorch or JAX, run on request.

    worker.py NAME --threads T --batch N --d-in D --d-hid H --data FILE ...

FILE holds x [N, D], w_enc [D, H] and w_dec [H, D] as 32-bit floats, one after the other. The first line on stdout is a
JSON object: what is run, and the losses of the first steps, each before its update. After that each line on stdin is a
number of steps; the answer is the seconds they took, and the seconds of processor time that this process took since its
last answer: those of threads that go on looking for work. An error is a JSON object too. The end of stdin ends it.

The step: h = sigmoid(x·w_enc + b_enc), x_hat = sigmoid(h·w_dec + b_dec),
loss = ‖x_hat − x‖²/(2N) + beta·Σ KL(rho ‖ mean of h), Adam, the decay of the two weight matrices in their gradients.
"""

import argparse
import json
import os
import sys
import time

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
# The mean activations are kept that far from 0 and 1.
MARGIN = 1e-7


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=sorted(STEPS))
    for option in ("threads", "batch", "d-in", "d-hid", "first"):
        parser.add_argument(f"--{option}", type=int, required=True)
    for option in ("rho", "beta", "lr", "decay"):
        parser.add_argument(f"--{option}", type=float, required=True)
    parser.add_argument("--data", required=True)
    return parser.parse_args()


def load(args):
    """x, w_enc, w_dec as numpy arrays."""
    import numpy

    n, d, h = args.batch, args.d_in, args.d_hid
    data = numpy.fromfile(args.data, dtype="<f4")
    if data.size != n * d + 2 * d * h:
        raise ValueError(f"{args.data}: {data.size} numbers, expected {n * d + 2 * d * h}")
    x, w_enc, w_dec = numpy.split(data, [n * d, n * d + d * h])
    return x.reshape(n, d), w_enc.reshape(d, h), w_dec.reshape(h, d)


def torch_step(args, compiled, bf16):
    import torch
    from torch.nn import functional

    torch.set_num_threads(args.threads)
    rho = args.rho
    x, w_enc, w_dec = map(torch.from_numpy, load(args))

    def parameter(values):
        return values.contiguous().clone().requires_grad_()

    # As `nn.Linear` keeps them: [out, in].
    w_enc, w_dec = parameter(w_enc.T), parameter(w_dec.T)
    b_enc, b_dec = parameter(torch.zeros(args.d_hid)), parameter(torch.zeros(args.d_in))

    def objective(x, w_enc, b_enc, w_dec, b_dec):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            h = torch.sigmoid(functional.linear(x, w_enc, b_enc))
            x_hat = torch.sigmoid(functional.linear(h, w_dec, b_dec))
        mean = h.float().mean(0).clamp(MARGIN, 1 - MARGIN)
        kl = (rho * torch.log(rho / mean) + (1 - rho) * torch.log((1 - rho) / (1 - mean))).sum()
        return 0.5 * (x_hat.float() - x).square().sum() / args.batch + args.beta * kl

    groups = [{"params": [w_enc, w_dec], "weight_decay": args.decay}, {"params": [b_enc, b_dec]}]
    # What measured best: the fused Adam where nothing is compiled, the compiler's own where all is.
    adam = torch.optim.Adam(groups, lr=args.lr, betas=(BETA1, BETA2), eps=EPS, fused=not compiled, foreach=compiled)
    update = adam.step
    if compiled:
        objective = torch.compile(objective, dynamic=False)
        update = torch.compile(adam.step, dynamic=False)

    def step():
        adam.zero_grad()
        loss = objective(x, w_enc, b_enc, w_dec, b_dec)
        loss.backward()
        update()
        return loss.detach()

    mkl = next((line.strip(" -") for line in torch.__config__.show().splitlines() if "Math Kernel" in line), "")
    return step, float, lambda: None, f"torch {torch.__version__}, {mkl}"


def jax_step(args):
    # XLA makes a thread for each processor it may run on.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ["JAX_PLATFORMS"] = "cpu"
    from functools import partial

    import jax
    import jax.numpy as jnp

    rho = args.rho
    x, w_enc, w_dec = map(jnp.asarray, load(args))
    decays = (args.decay, 0.0, args.decay, 0.0)

    def objective(params, x):
        w_enc, b_enc, w_dec, b_dec = params
        h = jax.nn.sigmoid(x @ w_enc + b_enc)
        x_hat = jax.nn.sigmoid(h @ w_dec + b_dec)
        mean = jnp.clip(h.mean(0), MARGIN, 1 - MARGIN)
        kl = (rho * jnp.log(rho / mean) + (1 - rho) * jnp.log((1 - rho) / (1 - mean))).sum()
        return 0.5 * jnp.square(x_hat - x).sum() / args.batch + args.beta * kl

    @partial(jax.jit, donate_argnums=0)
    def train(state, x):
        params, first, second, steps = state
        loss, grads = jax.value_and_grad(objective)(params, x)
        steps = steps + 1
        grads = tuple(g + decay * p for g, p, decay in zip(grads, params, decays))
        first = tuple(BETA1 * m + (1 - BETA1) * g for m, g in zip(first, grads))
        second = tuple(BETA2 * v + (1 - BETA2) * g * g for v, g in zip(second, grads))
        rate, root = args.lr / (1 - BETA1**steps), jnp.sqrt(1 - BETA2**steps)
        updates = zip(params, first, second)
        params = tuple(p - rate * m / (jnp.sqrt(v) / root + EPS) for p, m, v in updates)
        return (params, first, second, steps), loss

    def zeros():
        return tuple(jnp.zeros_like(p) for p in params)

    params = (w_enc, jnp.zeros(args.d_hid), w_dec, jnp.zeros(args.d_in))
    state = (params, zeros(), zeros(), jnp.float32(0))

    def step():
        nonlocal state
        state, loss = train(state, x)
        return loss

    return step, float, lambda: jax.block_until_ready(state), f"jax {jax.__version__}"


STEPS = {
    "pytorch eager": lambda args: torch_step(args, compiled=False, bf16=False),
    "pytorch compiled": lambda args: torch_step(args, compiled=True, bf16=False),
    "pytorch compiled bf16": lambda args: torch_step(args, compiled=True, bf16=True),
    "jax jit": jax_step,
}


def serve(args, say):
    step, to_float, wait, version = STEPS[args.name](args)
    losses = [to_float(step()) for _ in range(args.first)]
    wait()
    say(json.dumps({"version": version, "losses": losses}))
    rested = time.process_time()
    for line in sys.stdin:
        steps = int(line)
        idle = time.process_time() - rested
        start = time.perf_counter()
        for _ in range(steps):
            step()
        wait()
        seconds = time.perf_counter() - start
        say(f"{seconds} {idle}")
        rested = time.process_time()


def main():
    args = arguments()
    # What libraries print goes nowhere; answers alone go to stdout.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def say(line):
        answers.write(f"{line}\n")

    try:
        serve(args, say)
    except Exception as error:  # Whatever it is, it is the answer.
        say(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0]}))
        sys.exit(1)


if __name__ == "__main__":
    main()
