"""Launching an image on a real cluster; imported only by runs that are asked to."""
