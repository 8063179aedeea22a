#!/usr/bin/env python3
"""Chooses ids that tests cite, at random, for breaking their rules on purpose (Tests/mutations.txt). The same seed, the same tree, the same ids.

Usage: Scripts/choose-ids.py COUNT [SEED]     without a seed it makes one; it prints the seed first"""
import random
import secrets
import sys

from ids import cited_in_tests

# Their tests were found wanting by a study of the tests themselves (row V19), so each has a mutation of its own anyway.
STUDIED = set("CAN-13 CAN-21 ELI-22 SCH-02 XTASK-17 TOOL-12 TASKL-07 TASKL-10 XTASK-10 A12 D12 E16 F16 ELI-07 STDIO-03 MRTR-14 META-04 "
              "B20 D4 F2 G14".split())

count = int(sys.argv[1])
seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1 << 32)
print(f"seed {seed}")
candidates = sorted(id for id in cited_in_tests() if id not in STUDIED and id[0] not in "TUV" or "-" in id and id not in STUDIED)
for id in sorted(random.Random(seed).sample(candidates, count)):
    print(id)
