#!/bin/bash

echo "starting the agent"
systemctl enable --now company-agent || true
