#!/bin/bash

nvidia-smi --query-gpu=name --format=csv,noheader > /local_disk0/gpus || true
