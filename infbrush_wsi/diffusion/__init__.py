"""How a function is noised and denoised: process, loss, guidance, samplers."""
