# SPDX-License-Identifier: Apache-2.0
"""PyTorch: the usual loop over mini-batches, without a loader (rows are picked by a shuffled index)."""
import itertools

import torch
from server import Job, Run, Score, serve


def layers(job: Job, outputs: int) -> torch.nn.Sequential:
    widths = [job.train[0].shape[1], *(int(h) for h in job.words["hidden"].split(",")), outputs]
    parts = []
    for n_in, n_out in zip(widths, widths[1:]):
        parts += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def train(job: Job, net: torch.nn.Sequential, X: torch.Tensor, y: torch.Tensor, loss: torch.nn.Module) -> torch.nn.Sequential:
    step = torch.optim.Adam(net.parameters(), lr=1e-3)
    batch = job.integer("batch")
    for _ in range(job.integer("epochs")):
        order = torch.randperm(len(X))
        for i in range(0, len(X), batch):
            rows = order[i:i + batch]
            step.zero_grad()
            loss(net(X[rows]), y[rows]).backward()
            step.step()
    return net


def prepare(job: Job) -> tuple[Run, Score]:
    torch.manual_seed(int(job.number("seed", 0)))
    torch.set_num_threads(job.threads)
    X, y = torch.from_numpy(job.train[0]).float(), job.train[1]
    Xt, yt = torch.from_numpy(job.test[0]).float(), job.test[1]
    if job.classes:
        y, yt, outputs, loss = torch.from_numpy(y), torch.from_numpy(yt), job.classes, torch.nn.CrossEntropyLoss()

        def score(net: torch.nn.Sequential) -> float:
            return (net(Xt).argmax(1) == yt).float().mean().item()
    else:  # an autoencoder: the target is the input
        y, outputs, loss = X, X.shape[1], torch.nn.MSELoss()

        def score(net: torch.nn.Sequential) -> float:
            return -loss(net(Xt), Xt).item()
    if job.verb == "fit":
        return lambda: train(job, layers(job, outputs), X, y, loss), score
    net, rows = train(job, layers(job, outputs), X, y, loss), itertools.cycle(range(len(Xt)))

    def one_row() -> torch.Tensor:
        i = next(rows)
        with torch.no_grad():
            return torch.softmax(net(Xt[i:i + 1]), 1)

    return one_row, lambda _: score(net)


if __name__ == "__main__":
    serve(torch.__version__, {"mlp": prepare, "autoencoder": prepare})
