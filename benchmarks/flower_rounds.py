"""Rounds of federated averaging in Flower's simulation with PyTorch, for `federated.py`.

It runs in an environment that has flwr[simulation], torch and numpy, and needs nothing of dkjax. After each round it
prints a line; `federated.py` reads the clock then.
"""

import json
import os
import sys
from importlib.metadata import version

# Neither asks a server on the internet.
os.environ.update(FLWR_TELEMETRY_ENABLED="0", RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import nn
from torch.nn import functional

torch.set_num_threads(1)


class Vit(nn.Module):
    """The ViT of `dkjax.models.vit`, variant mu."""

    def __init__(self, patch: int, width: int = 32, heads: int = 2, hidden: int = 128) -> None:
        """Draw the parameters."""
        super().__init__()
        self.patch, self.heads = patch, heads
        self.embedding = nn.Linear(patch * patch, width)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, (28 // patch) ** 2 + 1, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width, eps=1e-6) for _ in range(3)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.head = nn.Linear(width, hidden), nn.Linear(hidden, width), nn.Linear(width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits, float32[n, 10], of float32[n, 1, 28, 28]."""
        patches = functional.unfold(images, self.patch, stride=self.patch).transpose(1, 2)
        x = torch.cat([self.token.expand(len(images), -1, -1), self.embedding(patches)], dim=1) + self.position
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width)
        x = x + self.out(mixed)
        x = x + self.down(functional.gelu(self.up(self.norms[1](x)), approximate="tanh"))
        return self.head(self.norms[2](x)[:, 0])


def network(name: str) -> nn.Module:
    """Return the network of that name; the same as `federated_rounds.network` makes."""
    if name in ("mlp", "idle"):
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    if name == "strided":
        convolutions = [nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU()]
        return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(3136, 10))
    if name == "full":
        first = [nn.Conv2d(1, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2)]
        second = [nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(3136, 10))
    return Vit(patch=4)


def train(model: nn.Module, images: np.ndarray, labels: np.ndarray, batch: int, rate: float) -> None:
    """Take one epoch of plain SGD on uint8[n, 28, 28]."""
    x = torch.from_numpy(images).float().div_(127.5).sub_(1.0).unsqueeze(1)
    y = torch.from_numpy(labels).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for rows in torch.randperm(len(y)).split(batch):
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()


def main(task: dict) -> None:
    """Run the rounds of a task, which is described by `federated.Task`."""
    client_app, server_app = ClientApp(), ServerApp()

    @client_app.train()
    def fit(message: Message, context: Context) -> Message:
        arrays = message.content["arrays"]
        if not task["idle"]:
            torch.set_num_threads(1)
            model = network(task["network"])
            model.load_state_dict(arrays.to_torch_state_dict())
            number = int(context.node_config["partition-id"])
            mine = slice(number * task["images"], (number + 1) * task["images"])
            images = np.array(np.load(task["data"] + "/image.npy", mmap_mode="r")[mine])
            labels = np.array(np.load(task["data"] + "/label.npy", mmap_mode="r")[mine])
            train(model, images, labels, task["batch"], task["rate"])
            arrays = ArrayRecord(model.state_dict())
        metrics = MetricRecord({"num-examples": task["images"]})
        return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:
        model = network(task["network"])
        about = {"parameters": sum(p.numel() for p in model.parameters())}
        about["versions"] = {name: version(name) for name in ("flwr", "ray", "torch", "numpy")}
        print("about", json.dumps(about), flush=True)

        def evaluated(number: int, arrays: ArrayRecord) -> None:
            if number:
                finite = all(np.isfinite(array.numpy()).all() for array in arrays.values())
                print("round" if finite else "not finite", number, flush=True)

        strategy = FedAvg(
            fraction_train=task["chosen"] / task["clients"], fraction_evaluate=0.0, min_available_nodes=task["clients"]
        )
        strategy.start(grid, ArrayRecord(model.state_dict()), num_rounds=task["rounds"], evaluate_fn=evaluated)

    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"include_dashboard": False}}
    run_simulation(server_app, client_app, num_supernodes=task["clients"], backend_config=resources)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
