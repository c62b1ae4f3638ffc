"""One of several processes of a training, which notes its weights and its rate after every step."""

import argparse
import contextlib
import os
import signal
import time
import zlib

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import aetui

options = argparse.ArgumentParser()
options.add_argument("--steps", type=int, default=10**9)
options.add_argument("--tells", choices=("before", "after", "first"), default="before")
options.add_argument("--accumulate", type=int, default=1)
options.add_argument("--schedule", action="store_true")
options.add_argument("--plain", action="store_true", help="without aetui.watch")
options.add_argument("--only", type=int, help="rank that is watched alone")
options.add_argument("--raises", default="", help="RANK@STEP, in the first attempt")
options.add_argument("--killed", default="", help="RANK@STEP, in the first attempt")
options.add_argument("--fault", type=int, help="rank whose watching fails once there is a file of that name")
options.add_argument("--uneven", action="store_true", help="rank 0 has 1500 steps and the others 30")
given = options.parse_args()

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
rows = torch.randn(256, 3) @ torch.randn(3, 10)
inner = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3), nn.Linear(3, 10))
if given.uneven:
    inner = nn.Sequential(nn.Linear(10, 3), nn.Linear(3, 10))
model = DistributedDataParallel(inner, static_graph=given.schedule and given.accumulate == 1)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.999) if given.schedule else None
run = None
if not given.plain and given.only in (None, rank):
    run = aetui.watch(model, probe=rows, loss="mse", name="several")
if given.fault == rank:
    add = run._hooks._steps.add

    def failing(*figures):
        if os.path.exists("fault"):
            raise OSError("a fault of the watching")
        add(*figures)

    run._hooks._steps.add = failing
torch.manual_seed(rank)
notes = open(f"rank{rank}.txt", "a", buffering=1)
losses = open(f"losses{rank}.txt", "a", buffering=1)
first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
steps = given.steps
if given.uneven:
    steps = 1500 if rank == 0 else 30

try:
    with model.join() if given.uneven else contextlib.nullcontext():
        for step in range(steps):
            optimizer.zero_grad()
            for part in range(given.accumulate):
                batch = rows[torch.randint(0, 256, (16,))]
                whole = part == given.accumulate - 1
                with contextlib.nullcontext() if whole else model.no_sync():
                    loss = nn.functional.mse_loss(model(batch), batch)
                    if run and given.tells == "before":
                        run.log(loss)
                    (loss / given.accumulate).backward()
            if first and given.raises == f"{rank}@{step}":
                raise ValueError("a fault of the script")
            if first and given.killed == f"{rank}@{step}":
                os.kill(os.getpid(), signal.SIGKILL)
            optimizer.step()
            if scheduler:
                scheduler.step()
            if run and (given.tells == "after" or (given.tells == "first" and rank == 0)):
                run.log(loss)
            total = 0
            for parameter in inner.parameters():
                total = zlib.crc32(parameter.detach().numpy().tobytes(), total)
            notes.write(f"{step + 1} {total} {optimizer.param_groups[0]['lr']!r}\n")
            losses.write(f"{loss.item()!r}\n")
            time.sleep(0.002)
except KeyboardInterrupt as error:
    notes.write(f"interrupted {error}\n")
print(f"rank {rank} is through", flush=True)
