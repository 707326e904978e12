#!/usr/bin/env bash
# Measures what docs/reports.md says of values that the reports leave open, on training images alone:
#     HPO_DATA_DIR=... bash docs/open_values.sh 2> open_values.txt
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
try() {
  echo "== $1" >&2
  python benchmarks/open_values.py "$@" --repeats 6 > /dev/null
}

for name in convpair convpair-ws convpair-ws-aux; do
  try "$name" '[{batch_size: 50}, {batch_size: 100}]'
done
try convpair-ws-aux-dropout '[{params: {dropout: 0.1}}, {params: {dropout: 0.3}}, {params: {dropout: 0.5}}, {params: {dropout: 0.7}}, {params: {dropout: 0.8}}]'

l2() { # learning rate and L2 rate of report 001, coupled with the gradient and decoupled from it
  echo "[{params: {learning_rate: $1, weight_decay: $2, optimizer: adam}}, {params: {learning_rate: $1, weight_decay: $2, optimizer: adamw}}]"
}
try fc "$(l2 0.0011 0.33)"
try fc-aux "$(l2 0.0056 0.001)"
try fc-aux '{params: {learning_rate: 0.0056, weight_decay: 0.001, optimizer: adamw, aux_weight: 0.5}}'
try deepconv "$(l2 0.001 0.1)"
try deepconv-aux "$(l2 0.0022 0.11)"
try deepconv-aux '{params: {learning_rate: 0.0022, weight_decay: 0.11, optimizer: adamw, aux_weight: 0.5}}'

for name in fnn fnn-ws fnn-aux fnn-ws-aux; do
  try "$name" '[{params: {learning_rate: 0.001}}, {params: {learning_rate: 0.005}}, {params: {learning_rate: 0.01}}]'
done
for name in cnn cnn-ws cnn-aux cnn-ws-aux; do
  try "$name" '[{params: {channels: [8, 16], learning_rate: 0.001}}, {params: {channels: [8, 16], learning_rate: 0.002}}, {params: {channels: [16, 32], learning_rate: 0.001}}, {params: {channels: [16, 32], learning_rate: 0.002}}]'
done
for name in direct-basic direct-ws direct-al; do
  try "$name" '[{epochs: 25, batch_size: 100}, {epochs: 25, batch_size: 50}, {epochs: 50, batch_size: 100}]'
done
