"""How gradients become a step: summed over the processes, or divided among them."""
