"""Names of the metrics, and what to know about them without computing any; imports nothing."""

HIGHER_IS_BETTER = ("psnr", "psnr_luma", "ssim", "structure", "edge_agreement")
"""Of the others lower is better."""

PAIRED = ("psnr", "psnr_luma", "ssim", "lpips", "perceptual")
"""Metrics that compare a result with the truth."""
