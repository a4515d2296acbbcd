"""Networks that learn from chips: one network and one small loop for classifier, encoder and azimuth estimator."""
