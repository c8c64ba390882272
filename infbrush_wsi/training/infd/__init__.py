"""Training of Image Neural Field Diffusion: an autoencoder with a renderer, then diffusion of its latents."""
