#!/usr/bin/env python
"""Convolutional autoencoder, functions and a main."""
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


class ConvAE(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(1, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        self.dec = nn.Sequential(nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1), nn.Sigmoid())
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        return self.dec(self.drop(self.enc(x)))


def get_loaders():
    g = torch.Generator().manual_seed(1)
    images = (torch.rand(160, 1, 8, 8, generator=g) > 0.5).float()
    labels = torch.zeros(160)
    train = TensorDataset(images[:128], labels[:128])
    return DataLoader(train, batch_size=32, shuffle=True), DataLoader(TensorDataset(images[128:], labels[128:]), 32)


def train_one_epoch(model, loader, criterion, optimizer, device):
    model.train()
    total = 0.0
    for images, _ in loader:
        images = images.to(device)
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, images)
        loss.backward()
        optimizer.step()
        total += loss.item() * images.size(0)
    return total / len(loader.dataset)


@torch.no_grad()
def evaluate(model, loader, criterion):
    model.eval()
    return sum(criterion(model(images), images).item() for images, _ in loader)


def main():
    torch.manual_seed(42)
    device = torch.device("cpu")
    train_loader, val_loader = get_loaders()
    model = ConvAE().to(device)
    criterion = nn.BCELoss()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    for epoch in range(5):
        train_loss = train_one_epoch(model, train_loader, criterion, optimizer, device)
        val_loss = evaluate(model, val_loader, criterion)
        scheduler.step()
        print(f"epoch {epoch}: train {train_loss:.6f} val {val_loss:.6f}")
    print("weights", sum(p.double().abs().sum() for p in model.parameters()).item().hex())


if __name__ == "__main__":
    main()
