"""URLs: read once, and remembered; everything else asks the `Address` that was made of them."""
