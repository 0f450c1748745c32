"""The official images, which no rule may fail on."""
