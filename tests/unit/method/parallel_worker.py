"""One of the processes that test_parallel.py starts: trains the toy model under DDP and FSDP2 and notes what it saw.

The first process writes its notes to the folder given: `notes.json`, and per case the gradients of a step, whole.
"""

import json
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path

import torch
from safetensors.torch import save_file
from toy import PLANS, TARGETS, Toy, adapt, count_calls, disturb, gradients

import frod
from frod.method.linear import FrodLinear
from frod.method.wrappers import full_tensor

EXAMPLES, PROCESSES = 8, 2
RATES = {"lr_scale": 0.1, "lr_rotation": 0.1, "lr_head": 0.1}


def adapted(plan, dtype=torch.float32):
    """The toy model with a disturbed adapter, and its basis: the same in every process."""
    torch.manual_seed(0)
    model = Toy(n=8, layers=2)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.to(dtype)
    disturb(adapt(model, TARGETS, plan=plan, train=["head"]))
    return model.train(), model._frod.basis


def examples(dtype=torch.float32):
    """Inputs (EXAMPLES, 3, 8)."""
    return torch.randn(EXAMPLES, 3, 8, generator=torch.Generator().manual_seed(1)).to(dtype)


def loss(model, x):
    """Mean over examples, so that the mean over processes of like size is that of the joined batch."""
    return model(x).float().square().mean()


def skipping(plan):
    """The toy model, which runs fewer blocks for a batch of one example."""
    model, _ = adapted(plan)
    run = model.blocks

    def without_the_last(module, args):
        model.blocks = run[:1] if len(args[0]) == 1 else run

    model.register_forward_pre_hook(without_the_last)
    model.register_forward_hook(lambda module, args, output: setattr(model, "blocks", run))
    return model


def whole_gradients(model):
    return {name: full_tensor(gradient).clone() for name, gradient in gradients(model).items()}


class Worker:
    def __init__(self, folder):
        from accelerate import Accelerator, FullyShardedDataParallelPlugin

        self.folder, self.notes, self.counts = folder, {}, count_calls(setattr)
        self.plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["Block"],
            reshard_after_forward=True,
            cpu_ram_efficient_loading=True,
        )
        self.accelerator = Accelerator(cpu=True)
        self.first = self.accelerator.is_main_process

    def shard_from_now_on(self):
        """accelerate starts FSDP on GPUs only; its code runs on the CPU as well, so the kind of run is set by hand."""
        from accelerate.state import PartialState
        from accelerate.utils import DistributedType

        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.accelerator.state.distributed_type = DistributedType.FSDP
        self.accelerator.state.fsdp_plugin = self.plugin

    def mine(self, dtype=torch.float32):
        return examples(dtype)[self.accelerator.process_index :: PROCESSES]

    def write(self, case, tensors):
        if self.first:
            save_file(tensors, self.folder / f"{case}.safetensors")

    def note(self, case, model):
        """How often the weights were formed and gradients projected, of so many layers."""
        self.notes[case] = {"layers": sum(isinstance(m, FrodLinear) for m in model.modules()), **self.counts}

    def step(self, case, model, x):
        """Gradients of a step in one go, and in micro-batches; how often weights were formed for the latter."""
        self.accelerator.backward(loss(model, x))
        self.write(f"{case}-whole", whole_gradients(model))
        self.counts.clear()
        for i in range(len(x)):
            with ExitStack() as stack:
                if i < len(x) - 1:
                    stack.enter_context(self.accelerator.no_sync(model))
                    stack.enter_context(frod.accumulating(model, len(x)))
                self.accelerator.backward(loss(model, x[i : i + 1]) / len(x))
        self.write(f"{case}-accumulated", whole_gradients(model))
        self.note(case, model)

    def refused(self, case, model, basis):
        """What cannot be done to a wrapped model says so."""
        self.notes[f"{case}-refused"] = {}
        other = self.folder / "start.safetensors"
        for what, act in {
            "attach": lambda: frod.attach(model, basis, name="late"),
            "load_adapter": lambda: frod.load_adapter(model, other, basis, name="late"),
            "set_adapter": lambda: frod.set_adapter(model, "aside"),
            "merge": lambda: frod.merge(model) if case == "fsdp" else None,
        }.items():
            try:
                act()
            except ValueError as error:
                self.notes[f"{case}-refused"][what] = str(error)

    def wrapped(self):
        """Two adapters: one is trained by the wrapper, which knows nothing of the other."""
        for case in ("ddp", "fsdp"):
            if case == "fsdp":
                self.shard_from_now_on()
            model, basis = adapted("auto")
            frod.attach(model, basis, name="aside")
            frod.set_adapter(model, "default")
            optimiser = torch.optim.SGD(frod.parameter_groups(model, **RATES))
            model, _ = self.accelerator.prepare(model, optimiser)
            self.refused(case, model, basis)
            if case == "ddp":  # every process has all of it
                frod.save_adapter(model, self.folder / f"ddp-{self.accelerator.process_index}.safetensors")
            self.accelerator.free_memory()

    def ddp(self, plan):
        model, _ = adapted(plan)
        shared = next(m.shared for m in model.modules() if isinstance(m, FrodLinear))
        mark = shared.Vt[0, 0].clone() + self.accelerator.process_index
        shared.Vt[0, 0] = mark
        wrapped = self.accelerator.prepare(model)
        loss(wrapped, self.mine())
        here = torch.tensor(float(shared.Vt[0, 0] == mark))
        shared.Vt[0, 0] -= self.accelerator.process_index
        kept = self.accelerator.gather(here.reshape(1))
        self.step(f"ddp-{plan}", wrapped, self.mine())
        self.notes[f"ddp-{plan}"]["V_stays"] = bool(kept.all())
        self.accelerator.free_memory()

    def accumulate(self):
        """As accelerate's users write it: `accumulate` says which micro-batch is the last."""
        model, _ = adapted("materialised")
        wrapped = self.accelerator.prepare(model)
        x = self.mine()
        self.accelerator.gradient_accumulation_steps = len(x)
        self.counts.clear()
        for i in range(len(x)):
            with self.accelerator.accumulate(wrapped), ExitStack() as stack:
                if not self.accelerator.sync_gradients:
                    stack.enter_context(frod.accumulating(wrapped, len(x)))
                self.accelerator.backward(loss(wrapped, x[i : i + 1]))
        self.accelerator.gradient_accumulation_steps = 1
        self.note("accumulate", model)
        self.write("accumulate", whole_gradients(wrapped))
        self.accelerator.free_memory()

    def fsdp(self, plan):
        model, basis = adapted(plan)
        optimiser = torch.optim.SGD(frod.parameter_groups(model, **RATES))
        model, optimiser = self.accelerator.prepare(model, optimiser)
        self.step(f"fsdp-{plan}", model, self.mine())
        self.accelerator.backward(loss(model, self.mine()))
        optimiser.step()
        path = self.folder / f"fsdp-{plan}-adapter.safetensors"
        frod.save_adapter(model, path)
        self.accelerator.wait_for_everyone()
        self.folded(f"fsdp-{plan}", model)
        self.loading(f"fsdp-{plan}", model, path, basis)
        self.accelerator.free_memory()

    def folded(self, case, model):
        """The state of a plain model, as the Trainer has `save_pretrained` write it: whole in the first process."""
        from frod.method.state_dict import fold

        state = self.accelerator.get_state_dict(model)
        fold(model, state)
        self.write(f"{case}-state", state)

    def loading(self, case, model, path, basis):
        """Outputs as trained, after loading the adapter as it was at the start, and the trained one again."""
        model.eval()
        # By this a layer tells whether its kept weight is still right. Under FSDP2 version counters stand still and
        # pointers recur, so take the worst case: it tells nothing.
        key, FrodLinear._key = FrodLinear._key, lambda self: ()
        with torch.no_grad():
            trained = model(examples())
            frod.load_adapter(model, self.folder / "start.safetensors", basis)
            start = model(examples())
            frod.load_adapter(model, path, basis)
            self.write(f"{case}-outputs", {"trained": trained, "start": start, "again": model(examples())})
        FrodLinear._key = key

    def half(self):
        model, _ = adapted("materialised", torch.bfloat16)
        optimiser = torch.optim.SGD(frod.parameter_groups(model, **RATES))  # accelerate takes none without
        model, _ = self.accelerator.prepare(model, optimiser)
        self.step("half", model, self.mine(torch.bfloat16))
        self.accelerator.free_memory()

    def rounded(self):
        """FSDP's own mixed precision would hand lambda over in half precision."""
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        model, _ = adapted("materialised", torch.bfloat16)
        for part in (*model.blocks, model):
            fully_shard(part, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
        try:
            model(examples(torch.bfloat16))
        except ValueError as error:
            self.notes["rounded"] = str(error)

    def skipped(self, model, no_sync):
        """A step whose last micro-batch, of one example, leaves out a block."""
        x = self.mine()
        with no_sync(), frod.accumulating(model):
            loss(model, x[1:]).backward()
        loss(model, x[:1]).backward()

    def skipped_under_ddp(self, plan):
        wrapped = torch.nn.parallel.DistributedDataParallel(skipping(plan), find_unused_parameters=True)
        self.skipped(wrapped, wrapped.no_sync)
        self.write(f"skipped-{plan}", whole_gradients(wrapped))

    def skipped_under_fsdp(self):
        from torch.distributed.fsdp import fully_shard

        model = skipping("materialised")
        for part in (*model.blocks, model):
            fully_shard(part)
        try:
            self.skipped(model, nullcontext)
        except ValueError as error:
            self.notes["skipped"] = str(error)

    def run(self):
        for plan in PLANS:
            self.ddp(plan)
            self.skipped_under_ddp(plan)
        self.accumulate()
        self.wrapped()
        for plan in PLANS:
            self.fsdp(plan)
        self.half()
        self.rounded()
        self.skipped_under_fsdp()
        if self.first:
            (self.folder / "notes.json").write_text(json.dumps(self.notes))
        self.accelerator.end_training()


if __name__ == "__main__":
    torch.set_num_threads(1)
    Worker(Path(sys.argv[1])).run()
