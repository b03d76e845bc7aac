#!/usr/bin/env bash
# flwr-datasets 0.6.1: IidPartitioner ("creates each partition sampled randomly from the dataset") samples nothing. It cuts
# the records into contiguous pieces, in the order that they have. Of a data set that is sorted by label, as many are on
# disk, each client gets a class or two, which is the opposite of iid. FederatedDataset hides it by shuffling first; a
# partitioner that is given a data set of its own (partitioner.dataset = ..., as its documentation shows for local data)
# does not. It has no seed and no option to shuffle.
#
# Seen: of 1 000 records of ten classes, sorted, ten clients of 100 records have 1 class each; of the same records,
# shuffled, 10 classes each.
# Fails if clients of the sorted records have more than one class.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "flwr-datasets==0.6.1" "datasets==4.8.5"
cat > "$folder/check.py" << 'END'
import importlib.metadata
import sys

from datasets import Dataset
from flwr_datasets.partitioner import IidPartitioner

records = Dataset.from_dict({"label": [number // 100 for number in range(1000)]})


def classes(data_set):
    """Count the classes of each client."""
    partitioner = IidPartitioner(num_partitions=10)
    partitioner.dataset = data_set
    return [len({*partitioner.load_partition(client)["label"]}) for client in range(10)]


in_order, shuffled = classes(records), classes(records.shuffle(seed=0))
print("flwr-datasets", importlib.metadata.version("flwr-datasets"))
print("classes a client, records sorted by label:", in_order)
print("classes a client, the same records shuffled:", shuffled)
sys.exit(not (in_order == [1] * 10 and min(shuffled) == 10))
END
FLWR_TELEMETRY_ENABLED=0 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/check.py"
