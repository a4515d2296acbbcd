"""Networks that learn from chips: one network, one augmentation and one small loop, used by classifier, encoder and estimator."""
