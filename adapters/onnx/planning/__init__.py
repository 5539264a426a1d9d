"""What of a model is to compute on codes, and where these lie."""
