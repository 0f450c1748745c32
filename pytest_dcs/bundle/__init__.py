"""One file that runs the checks inside an image: made outside, without any installation there."""
