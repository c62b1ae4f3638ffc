#!/usr/bin/env python
# coding: utf-8

# # Autoencoder demo

# In[1]:


import torch
import torch.nn as nn
torch.manual_seed(11)


# In[2]:


X = torch.randn(256, 5).matmul(torch.randn(5, 16))
X = (X - X.mean(0)) / X.std(0)
X.shape


# In[3]:


class AE(nn.Module):
    def __init__(self, n_in, n_hidden):
        super(AE, self).__init__()
        self.e1 = nn.Linear(n_in, 10)
        self.e2 = nn.Linear(10, n_hidden)
        self.d1 = nn.Linear(n_hidden, 10)
        self.d2 = nn.Linear(10, n_in)

    def encode(self, x):
        return self.e2(torch.tanh(self.e1(x)))

    def decode(self, h):
        return self.d2(torch.tanh(self.d1(h)))


model = AE(16, 3)
model


# In[4]:


optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
losses = []
for epoch in range(30):
    h = model.encode(X)
    x_hat = model.decode(h)
    loss = ((x_hat - X) ** 2).sum(dim=1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print('final', losses[-1])


# In[5]:


print('weights', sum(p.double().abs().sum() for p in model.parameters()).item().hex())
