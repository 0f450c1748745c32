"""Images that prove the rules: good ones, and broken ones one change away from them."""
