#!/bin/bash
set -e

mkdir -p /var/log/company
