"""Sources of plates: files whose names or index say which well and which field each image is of."""
