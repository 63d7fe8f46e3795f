"""Where paper, public code and this package part; no record depends on these words."""

#: Where paper, public code (github.com/YoungGod/DFR) and this package part:
#: setting, the paper's choice, the public code's, and where each is said.
DEVIATIONS: tuple[tuple[str, str, str, str], ...] = (
    ("padding", "zeros (Tables II-IV)", "reflect", "paper IV-C2; vgg19.py"),
    ("interpolation", "nearest", "bilinear-aligned", "paper IV-A3; main.py --upsample, feature.py"),
    ("keep_padding", "no", "maps 1, 3, 5-7, 9-11, 13-15 keep their one-pixel reflection border", "paper Eq. 1; vgg19.py"),
    ("hidden", "(c_o + c_d)/2", "(c_o + 2 c_d)/2", "paper Table VIII; feat_cae.py"),
    ("batch_norm", "no", "yes", "paper Table VIII; main.py --is_bn"),
    ("loss", "l2 norm, not squared", "mean squared error", "paper Eq. 4; feat_cae.py"),
    ("score", "l2 norm, not squared", "mean squared error", "paper Eq. 5; feat_cae.py"),
    ("map_interpolation", "bilinear", "bilinear-aligned", "paper III-D; anoseg_dfr.py"),
    ("epochs", "700", "150 (its comment: 700, and 150 for other data)", "paper IV-A4; main.py --epochs"),
    ("pca_images", "not said (here all)", "the first 10", "paper Appendix B; anoseg_dfr.py"),
    ("pca_samples", "a random subset (here 20,000)", "all 40,960 of those ten images", "paper Appendix B; anoseg_dfr.py"),
)
