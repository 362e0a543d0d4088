"""The engine `flux`: diffusers' FLUX pipelines, their families, weights and cards."""
