//! Trains complete sparse autoencoders with [`sae_kernels`], checks them and measures throughput.
