#!/usr/bin/env python3
"""Neurons over time in PyTorch, one thread: rows of the names that spiq_bench prints for the same work.

  /usr/bin/python3 bench/pytorch_neuron.py   (Debian: python3-torch, for the system's own Python)
  spiq_bench 'neuron.*/100000xT8'            the rows to compare with

`pytorch_package` is written as the packages write it: a step is a few expressions that make new tensors, spikes are
floats, the steps are stacked at the end. `pytorch_in_place` is what a patient user makes of it: nothing is allocated.
Neither records gradients. Leaky neurons: v <- 0.9 v + x; fires at v >= 1; v <- v - 1. Without a leak: 1 for 0.9.
"""
import argparse
import statistics
import sys
import time

try:
    import torch
except ImportError:
    sys.exit(f"pytorch_neuron.py: no module 'torch' for {sys.executable}; on Debian it is in the package python3-torch, "
             "for /usr/bin/python3")


def package(x, v, leak):
    spikes = []
    for t in range(x.shape[0]):
        v = v * leak + x[t] if leak != 1 else v + x[t]
        spike = (v >= 1.0).to(x.dtype)
        v = v - spike * 1.0
        spikes.append(spike)
    return torch.stack(spikes), v


def in_place(x, v, leak, spikes):
    for t in range(x.shape[0]):
        if leak != 1:
            v.mul_(leak)
        v.add_(x[t])
        torch.ge(v, 1.0, out=spikes[t])
        v.sub_(spikes[t])
    return spikes, v


def median_ns(work, samples, sample_ms):
    """Median time of a call by the CPU clock of this thread, as spiq_bench takes it."""
    work()
    start = time.thread_time_ns()
    work()
    calls = max(1, int(sample_ms * 1e6 / max(1, time.thread_time_ns() - start)))
    times = []
    for _ in range(samples):
        start = time.thread_time_ns()
        for _ in range(calls):
            work()
        times.append((time.thread_time_ns() - start) / calls)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=100000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--samples", type=int, default=15)
    parser.add_argument("--sample-ms", type=float, default=20)
    o = parser.parse_args()
    torch.set_num_threads(1)
    count = o.neurons * o.steps
    x = (torch.arange(count) * 7919 % 4099).to(torch.float32).mul_(0.6 / 4099).reshape(o.steps, o.neurons)
    shape = f"{o.neurons}xT{o.steps}"
    used = [line.split()[-1] for line in torch.__config__.show().split("\n") if "CPU capability" in line]
    print(f"torch {torch.__version__}, {' '.join(used) or 'instructions unknown'}, one thread")
    with torch.no_grad():
        for kernel, leak in (("neuron", 1.0), ("neuron_lif", 0.9)):
            spikes = torch.empty_like(x)
            expected, _ = package(x, torch.zeros(o.neurons), leak)
            found, _ = in_place(x, torch.zeros(o.neurons), leak, spikes)
            if not torch.equal(expected, found):
                sys.exit("pytorch_neuron.py: the two ways give different spikes")
            v = torch.zeros(o.neurons)
            state = torch.zeros(o.neurons)
            for name, work in (("pytorch_package", lambda: package(x, v, leak)),
                               ("pytorch_in_place", lambda: in_place(x, state, leak, spikes))):
                ns = median_ns(work, o.samples, o.sample_ms)
                print(f"{kernel}/{name}/{shape}  {ns / 1e3:.2f} us  {count / ns:.4g} Gstep/s")


if __name__ == "__main__":
    main()
