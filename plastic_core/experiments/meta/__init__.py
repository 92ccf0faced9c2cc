"""Meta-learning: thetas that minimise the loss after learning, by gradient descent."""
